"""The sweep of connection tables: rows of gone connections go, everything else stays. until phase 3 (MG11)

rows       what an item holds, and how a part of it is taken out   (pure)
gateway    asks API Gateway about a connection
pace       how fast, and why                                       (pure but for the clock)
export     what is deleted, on disk or in S3, before it is
segment    one segment of the scan: read, wait, ask, export, delete, checkpoint
job        a sweep of a table: segments, locks, journal, controls
restore    puts it back, and proves it
"""
