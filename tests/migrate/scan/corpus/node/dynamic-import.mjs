const { default: Ws } = await import("ws");
const client = new Ws("wss://chat.example.com/ws");
export default client;
