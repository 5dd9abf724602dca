"""Everything that moves a team from the WebSocket stack to the SSE service. until phase 3"""
