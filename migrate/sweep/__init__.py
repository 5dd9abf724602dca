"""The sweep of connection tables: rows of gone connections go, everything else stays. until phase 3 (MG11)

segment    one segment of the scan: read, wait, ask, export, delete, checkpoint
sharing    whose connections may stand in the table: other stages, other APIs
job        a sweep of a table: segments, locks, journal, controls
reckoning  what a process that ended in the middle of a page had deleted of it   (pure)
exports    who has exported something
restore    puts it back, and proves it

Rows, questions to the gateway, pace and exports are in `migrate.tables`.
"""
