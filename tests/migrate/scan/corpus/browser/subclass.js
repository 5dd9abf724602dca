class LoggedSocket extends WebSocket {
  send(data) {
    console.debug(data);
    super.send(data);
  }
}
export const socket = new LoggedSocket("wss://chat.example.com/ws");
