import websockets


async def test_chat(url):
    async with websockets.connect(url) as ws:
        await ws.send("x")
