"""The live dashboard of a migration: collectors, state, stream, actions, page. until phase 3 (MG18)

sources.py     a thread a source: looks again and again, says what it found or why it could not
traffic.py     connections and deliveries            records.py     comparison, mismatches, latency
team.py        flags, gates, journal, shadow         jobs.py        drain, sweep, removal of resources
checklists.py  the three phases
findings.py    facts of the toolkit as the page's JSON (pure)
model.py       what the page shows, from all findings (pure)
hub.py         bundles changes, numbers them, remembers the last ones for those who come back
actions.py     what an operator may do: the very commands, as child processes
app.py         HTTP: page, state, stream, actions   server.py: listens
demo.py        the same without AWS, fed with made-up findings
"""

from __future__ import annotations
