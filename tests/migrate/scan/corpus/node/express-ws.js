const express = require("express");
const app = express();
require("express-ws")(app);
app.ws("/echo", (ws) => ws.on("message", (m) => ws.send(m)));
