"""The local AWS: MiniStack's control planes, our WebSocket gateway and our Lambda execution. until phase 3"""
