"""The tee: a copy of what enters and leaves the legacy Lambdas, taken without touching their code. until phase 3

layer/ws2sse_tee.py        runs inside the Lambdas, from a layer (layers.py)
install.py                 puts it there and takes it away again; policies.py lets the functions send
function_configuration.py  a function's configuration with it and without it (pure)
setup.py                   the tee of a stack as its `migrate.toml` describes it
consumers.py               who reads, and what each function was like before
distributor.py, aside.py   from the API's queue to the readers' own
records.py                 what was sent, parsed (pure)
"""
