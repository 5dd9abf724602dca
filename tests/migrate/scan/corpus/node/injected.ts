interface Options {
  webSocketImpl?: typeof WebSocket;
  url: string;
}
export class Transport {
  private impl: typeof WebSocket;
  constructor(private options: Options) {
    this.impl = options.webSocketImpl ?? WebSocket;
  }
  open() {
    return new this.impl(this.options.url);
  }
}
export function create(WebSocketImpl: typeof WebSocket, url: string) {
  return new WebSocketImpl(url);
}
