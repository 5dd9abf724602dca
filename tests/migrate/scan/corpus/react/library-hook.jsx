import useWebSocket from "react-use-websocket";

export function Live() {
  const { lastMessage } = useWebSocket("wss://chat.example.com/ws", { shouldReconnect: () => true });
  return <span>{lastMessage?.data}</span>;
}
