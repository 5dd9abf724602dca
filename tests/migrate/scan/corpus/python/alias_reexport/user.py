from .sockets import dial


async def go():
    return await dial("wss://chat.example.com/ws")
