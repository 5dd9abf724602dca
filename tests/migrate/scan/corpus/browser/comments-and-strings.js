// new WebSocket("wss://chat.example.com") was here once
/* const ws = new WebSocket(url); */
const text = "call new WebSocket(url) to connect";
const label = `WebSocket closed`;
console.log(text, label, "wss://chat.example.com/ws");
