import { Inject, Injectable } from "@angular/core";
import { WEBSOCKET_CTOR } from "./tokens";

@Injectable()
export class SocketService {
  constructor(@Inject(WEBSOCKET_CTOR) private readonly ctor: new (url: string) => WebSocket) {}

  open(): WebSocket {
    return new this.ctor("wss://chat.example.com/ws");
  }
}
