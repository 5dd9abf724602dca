"""`python -m sse_service` is `sse-service`."""

from sse_service.cli import main

main()
