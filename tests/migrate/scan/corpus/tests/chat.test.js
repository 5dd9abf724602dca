import WS from "jest-websocket-mock";
import { WebSocket } from "mock-socket";

test("connects", async () => {
  const server = new WS("ws://localhost:1234");
  const client = new WebSocket("ws://localhost:1234");
  await server.connected;
  client.close();
});
