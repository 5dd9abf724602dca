"""The bridge: while both stacks run, a message sent on either reaches users on both, once. until phase 3

    legacy -> SSE   the tee's queue -> POST /api/events          (`to_sse.py`)
    SSE -> legacy   GET /api/streams?topic=* -> PostToConnection  (`to_legacy.py`)

What the bridge publishes carries the origin `legacy`, and it never sends events of that origin back; what it posts to
WebSocket clients does not pass through a Lambda, so the tee never sees it. That is why nothing echoes.
"""
