"""`python -m legacy_ws`: the `legacy-ws` command line. until phase 3"""

from legacy_ws.cli import main

main()
