const Impl = typeof WebSocket !== "undefined" ? WebSocket : require("ws");
module.exports = (path) => new Impl("wss://chat.example.com/" + path);
