import websockets

def half(:
    pass

async def go():
    return await websockets.connect("wss://chat.example.com/ws")
