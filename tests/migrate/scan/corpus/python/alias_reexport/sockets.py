from websockets.asyncio.client import connect as dial

__all__ = ["dial"]
