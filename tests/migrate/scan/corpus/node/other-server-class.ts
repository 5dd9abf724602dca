import { Server } from "http";
import { Client } from "pg";
export const server = new Server();
export const db = new Client();
db.on("error", () => reconnectDatabase());
function reconnectDatabase() {
  setTimeout(() => db.connect(), 100);
}
