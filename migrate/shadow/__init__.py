"""Shadow traffic: what passes the legacy stack, done again on a second SSE service that nobody sees. until phase 3

`translate.py`, `capture.py`, `people.py` are pure; `worker.py` wires what reads the tee's queue to what replays
(`replay.py`), listens (`streams.py`) and records (`recorder.py`).
"""
