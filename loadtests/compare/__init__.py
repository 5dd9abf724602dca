"""One scenario against both stacks in turn: `python -m loadtests.compare`; see docs/guides/load.md."""
