import { API } from "./config";

export function Quotes() {
  const ws = new WebSocket(API.quotes);
  return <p>{ws.url}</p>;
}
