const listeners = new Map<string, Array<(ev: MessageEvent) => void>>();
const socket = <WebSocket>(new WebSocket("wss://chat.example.com/ws", ["v1.chat"]));
export { listeners, socket };
