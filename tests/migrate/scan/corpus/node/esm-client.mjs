import { WebSocket as Socket } from "ws";
import { w3cwebsocket as W3C } from "websocket";

new Socket("wss://chat.example.com/ws");
new W3C("wss://chat.example.com/ws");
