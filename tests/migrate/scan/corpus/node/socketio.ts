import { Server } from "socket.io";
import { io } from "socket.io-client";

const server = new Server(3000);
const client = io("https://chat.example.com");
export { client, server };
