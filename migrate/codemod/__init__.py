"""Rewriting WebSocket clients: to the drop-in client, or to EventSource and REST. until phase 3 (MG4, WL12)

scan -> rewrite (edits of character ranges, nothing else is touched) -> diff -> write
"""
