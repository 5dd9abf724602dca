import websocket

ws = websocket.create_connection("wss://chat.example.com/ws?token=" + TOKEN)
ws.send("hi")
