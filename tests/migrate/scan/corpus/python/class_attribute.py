import websockets


class Client:
    url = "wss://chat.example.com/ws"

    def __init__(self, url=None):
        self.address = url or self.url

    async def reconnect(self):
        await self.open()

    async def open(self):
        self.ws = await websockets.connect(self.address)
