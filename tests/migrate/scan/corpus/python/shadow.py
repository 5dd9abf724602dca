class websocket:
    @staticmethod
    def create_connection(url):
        return url


def connect(url):
    return websocket.create_connection(url)


connect("wss://chat.example.com")
