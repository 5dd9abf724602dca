"""An SSE service that loses one message, sends one twice and one before its predecessor.

`python liar.py` prints its port; `GET /heard` says how many messages it has been sent.
"""

from __future__ import annotations

import json
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from queue import SimpleQueue
from typing import Any

streams: list[SimpleQueue[str]] = []
held: list[str] = []
heard: list[str] = []
lock = threading.Lock()


class Liar(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        if self.path == "/heard":
            self.answer(200, str(len(heard)).encode())
            return
        mine: SimpleQueue[str] = SimpleQueue()
        with lock:
            streams.append(mine)
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        number = 0
        text = 'event: ready\ndata: {"recovered": false}\n\n'
        while True:
            number += 1
            # Cut anywhere, as networks do.
            for part in (text[:5], text[5:]):
                self.wfile.write(f"{len(part.encode()):x}\r\n{part}\r\n".encode())
            text = f"id: e-{number}\nevent: message\ndata: {mine.get()}\n\n"

    def do_POST(self) -> None:
        body: dict[str, Any] = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if "message" in body:
            heard.append(body["message"])
            self.publish(json.dumps({"type": "message", "message": body["message"]}), body["message"])
        self.answer(201, b"{}")

    def answer(self, status: int, answer: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    @staticmethod
    def publish(payload: str, mark: str) -> None:
        sender, seq = mark.split("|")[2:4]
        with lock:
            if sender != "lt-0":
                return
            number = int(seq)
            out = [payload]
            if number == 1:
                out = []  # lost
            elif number == 2:
                out = [payload, payload]
            elif number == 3:
                held.append(payload)
                out = []
            elif number == 4:
                out = [payload, held.pop()]
            for one in out:
                for stream in streams:
                    stream.put(one)

    def log_message(self, *_: object) -> None:
        pass


if __name__ == "__main__":
    server = ThreadingHTTPServer(("127.0.0.1", 0), Liar)
    server.daemon_threads = True
    sys.stdout.write(f"{server.server_port}\n")
    sys.stdout.flush()
    server.serve_forever()
