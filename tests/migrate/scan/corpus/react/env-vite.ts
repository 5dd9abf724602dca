const url = import.meta.env.VITE_WS_URL;
export const socket = new WebSocket(url);
