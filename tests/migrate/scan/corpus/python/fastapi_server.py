from fastapi import FastAPI, WebSocket

app = FastAPI()


@app.websocket("/ws")
async def endpoint(websocket: WebSocket):
    await websocket.accept()
    await websocket.send_text("hello")


@app.get("/health")
def health():
    return {"websocket": True}
