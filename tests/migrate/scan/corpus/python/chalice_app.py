from chalice import Chalice

app = Chalice(app_name="chat")


@app.on_ws_connect()
def connect(event):
    app.websocket_api.session = None


@app.on_ws_message()
def message(event):
    app.websocket_api.send(event.connection_id, event.body)
