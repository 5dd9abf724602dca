"""Locust users for WebSocket, SSE and the drop-in protocol; see docs/guides/load.md."""
