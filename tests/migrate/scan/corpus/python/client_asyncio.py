import asyncio

import websockets

URL = "wss://chat.example.com/ws"


async def main() -> None:
    while True:
        try:
            async with websockets.connect(URL) as ws:
                async for message in ws:
                    print(message)
        except websockets.ConnectionClosed:
            await asyncio.sleep(1)


asyncio.run(main())
