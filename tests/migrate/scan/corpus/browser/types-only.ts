import type { WebSocket as NodeSocket } from "ws";
export interface Connection {
  socket: WebSocket | NodeSocket;
  onclose(event: CloseEvent): void;
}
export function isOpen(socket: WebSocket): boolean {
  return socket.readyState === WebSocket.OPEN;
}
