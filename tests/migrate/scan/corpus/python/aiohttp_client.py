import aiohttp


async def listen(url):
    async with aiohttp.ClientSession() as session:
        async with session.ws_connect(url) as ws:
            async for message in ws:
                print(message.data)
