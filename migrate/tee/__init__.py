"""The tee: a copy of what enters and leaves the legacy Lambdas, taken without touching their code. until phase 3

`layer/ws2sse_tee.py` runs inside the Lambdas, from a layer; `install.py` puts it there and takes it away again;
`records.py` reads what it sent.
"""
