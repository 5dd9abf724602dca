const constructorFor = () => (typeof window === "undefined" ? require("ws") : WebSocket);
export const socket = new (constructorFor())("wss://chat.example.com/ws");
