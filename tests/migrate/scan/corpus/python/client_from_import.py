from websockets.sync.client import connect as open_socket

from .settings import WS_URL


def read() -> str:
    with open_socket(WS_URL) as ws:
        return ws.recv()
