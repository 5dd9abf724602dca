// Ú‘±‚ğŠJ‚­
const ws = new WebSocket("wss://chat.example.com/ws");
