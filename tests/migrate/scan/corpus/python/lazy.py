import importlib


def client():
    module = importlib.import_module("websockets")
    return module.connect("wss://chat.example.com/ws")
