"""Tables of connections: what drain, sweep, clean-up, checklists and init have in common about them. until phase 3

rows         what an item holds, and how a part of it is taken out       (pure)
dynamojson   values of DynamoDB as JSON, and equal ones as equal text    (pure)
description  which tables they are, their keys and units
gateway      asks API Gateway about a connection; lean, signing: without botocore's layers
pace         how fast, and why                                           (pure but for the clock)
export       what is deleted, on disk or in S3, before it is
"""
