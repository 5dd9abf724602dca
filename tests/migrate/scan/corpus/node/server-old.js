const WebSocket = require("ws");
const wss = new WebSocket.Server({ port: 8080 });
wss.clients.forEach((client) => client.readyState === WebSocket.OPEN && client.send("x"));
