"use strict";
const WebSocket = require("ws");

const ws = new WebSocket(process.env.CHAT_URL || "wss://chat.example.com/ws");
ws.on("message", (data) => console.log(data.toString()));
ws.on("close", () => reconnect());
function reconnect() {
  setTimeout(() => process.exit(1), 1000);
}
