const ws = new WebSocket("wss://chat.example.com/ws");
const timer = setInterval(() => ws.send(JSON.stringify({ action: "ping" })), 300000);
ws.addEventListener("close", () => clearInterval(timer));
