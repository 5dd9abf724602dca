import { SubscribeMessage, WebSocketGateway, WebSocketServer } from "@nestjs/websockets";

@WebSocketGateway({ cors: true })
export class ChatGateway {
  @WebSocketServer() server: unknown;

  @SubscribeMessage("chat")
  handle(text: string) {
    return text;
  }
}
