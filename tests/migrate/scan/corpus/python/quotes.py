import websocket

from . import settings


def run():
    app = websocket.WebSocketApp(settings.QUOTES, on_message=print)
    app.run_forever(reconnect=5)
