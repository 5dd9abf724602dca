import websockets

# Hidden behind getattr.
opener = getattr(websockets, "connect")
connection = opener("wss://chat.example.com/ws")
