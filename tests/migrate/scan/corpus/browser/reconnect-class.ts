export class ChatClient {
  private ws?: WebSocket;
  private attempts = 0;

  constructor(private readonly url: string = "wss://chat.example.com/ws") {}

  connect(): void {
    this.ws = new WebSocket(this.url);
    this.ws.onclose = () => this.scheduleReconnect();
    this.ws.onerror = () => this.ws?.close();
  }

  private scheduleReconnect(): void {
    const delay = Math.min(30_000, 1000 * 2 ** this.attempts++);
    setTimeout(() => this.connect(), delay);
  }
}
