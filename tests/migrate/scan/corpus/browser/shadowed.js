class WebSocket {
  constructor(url) {
    this.url = url;
  }
}
// Our own stand-in of that name.
export const fake = new WebSocket("wss://chat.example.com/ws");
