import { Connection } from "./index.js";
import { BrowserSocket } from "./socket.js";
export const one = new Connection("wss://chat.example.com/ws");
export const two = new BrowserSocket("wss://chat.example.com/ws");
