import { Client } from "@stomp/stompjs";

export const client = new Client({ brokerURL: "wss://chat.example.com/stomp", reconnectDelay: 500 });
