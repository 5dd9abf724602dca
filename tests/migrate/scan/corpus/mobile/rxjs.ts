import { webSocket } from "rxjs/webSocket";
import { retry } from "rxjs";

export const stream$ = webSocket("wss://chat.example.com/ws").pipe(retry({ delay: 1000 }));
