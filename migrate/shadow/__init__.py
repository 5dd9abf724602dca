"""Shadow traffic: what passes the legacy stack, done again on a second SSE service that nobody sees. until phase 3

run.py, service.py     begin and end a run; start its worker
worker.py              one process of a run: wires the rest, and ends it in order
control_loop.py        obeys the state table (state.py), says how it does; quiescence.py, settings.py (pure)
pump.py, intake.py     from the tee's queue to whoever handles records, at least once
batch.py               a batch of records in the order that the comparison relies on
entering.py            a frame that entered, as a call (pure); lanes.py, replay.py make the calls
leaving.py             what the legacy stack delivered, as rows
streams.py, events.py  virtual subscribers, and what they got, as rows
translate.py, correlation.py   frames, calls and rows; what is behind what (pure)
presence.py, people.py         who is there (pure); connection_tables.py: what the stack's own tables say of it
completeness.py, capture.py, tee_watch.py   what the capture lost
recorder.py, checkpoint.py     what is written: each row once, and where the next process goes on
faults.py              what goes wrong on purpose
"""
