export function open(token) {
  return new WebSocket(`wss://chat.example.com/ws?token=${token}`);
}
