"""`python -m migrate`. until phase 3"""

from migrate.cli import main

main()
