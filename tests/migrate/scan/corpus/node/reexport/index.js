export * from "./socket.js";
