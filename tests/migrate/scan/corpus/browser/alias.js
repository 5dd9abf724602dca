const W = WebSocket;
const Socket = window.WebSocket || window.MozWebSocket;
const a = new W("wss://chat.example.com/ws");
const b = new Socket("wss://chat.example.com/ws");
const { WebSocket: C } = globalThis;
const c = new C("wss://chat.example.com/ws");
