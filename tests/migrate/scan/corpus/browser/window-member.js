const socket = new window.WebSocket("wss://chat.example.com/ws");
const other = new globalThis.WebSocket("wss://chat.example.com/ws2");
const third = new self["WebSocket"](url());
