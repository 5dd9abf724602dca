"""Moving users from WebSocket to SSE in steps, behind gates, and back at once. until phase 3 (MG9)"""
