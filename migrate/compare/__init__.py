"""Whether both stacks delivered the same: record, match, judge. until phase 3

model.py    facts: sends, deliveries, gaps in the capture
stats.py    exact binomial bounds, percentiles, means with their intervals
order.py    which messages were overtaken
match.py    (message, recipient) by (message, recipient): matched, missing, extra, duplicate, changed
verdict.py  counts in; pass, fail or inconclusive out, with reasons in words
core.py     the whole comparison, pure
render.py   a report as text and as JSON
records.py  record files (JSON lines)
probe.py    clients that connect to both stacks and record

Records of a shadow run, however many, are compared by SQL:

engine.py, session.py   run a comparison, once or as records come; on duck.py or athena.py (query_engine.py)
sql.py, dialect.py      the steps (pure)
counting.py             reads off how much; evidence.py, offences.py what, payload by payload
recorded.py             what was counted, and the report (pure); recorded_judge.py: the verdicts (pure)
deliveries.py, files.py the records; rules.py: what makes two frames the same (pure)
"""

from __future__ import annotations

from migrate.compare.core import Report, compare
from migrate.compare.model import Capture, Delivery, Gap, Path, Send, Stack
from migrate.compare.verdict import Thresholds, Verdict

__all__ = [
    "Capture",
    "Delivery",
    "Gap",
    "Path",
    "Report",
    "Send",
    "Stack",
    "Thresholds",
    "Verdict",
    "compare",
]
