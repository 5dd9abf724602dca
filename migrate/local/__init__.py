"""The local AWS: MiniStack's control planes, our WebSocket gateway and our Lambda execution (DESIGN 2), until phase 3."""
