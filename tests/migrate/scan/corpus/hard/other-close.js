// A server-sent stream with a timer of its own, beside a socket.
const ws = new WebSocket("wss://chat.example.com/ws");
const dialog = document.querySelector("dialog");
dialog.onclose = () => setTimeout(() => dialog.remove(), 300);
ws.onmessage = (event) => dialog.append(event.data);
