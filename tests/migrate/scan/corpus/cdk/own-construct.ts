import { Construct } from "constructs";
import { WebSocket } from "./websocket-construct";

export class Service extends Construct {
  constructor(scope: Construct, id: string) {
    super(scope, id);
    new WebSocket(this, "Chat", { path: "/ws" });
  }
}
