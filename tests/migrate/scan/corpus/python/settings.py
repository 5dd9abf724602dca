import os

WS_URL = os.environ.get("WS_URL", "wss://a1b2c3d4e5.execute-api.eu-west-1.amazonaws.com/prod")
QUOTES = "wss://ws.kraken.com"
