import WS from "isomorphic-ws";
export { WS as Connection };
export const BrowserSocket = globalThis.WebSocket;
