import base64
import http.client
import os

connection = http.client.HTTPSConnection("chat.example.com")
key = base64.b64encode(os.urandom(16)).decode()
connection.request("GET", "/ws", headers={"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Key": key})
