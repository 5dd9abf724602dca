const { WebSocketServer } = require("ws");
const http = require("http");

const server = http.createServer();
const wss = new WebSocketServer({ server });
wss.on("connection", (ws) => ws.send("hello"));
server.listen(8080);
