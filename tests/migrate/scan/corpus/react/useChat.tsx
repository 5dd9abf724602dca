import { useEffect, useRef, useState } from "react";
import { WS_ENDPOINT } from "./config";

export function useChat(room: string) {
  const ref = useRef<WebSocket | null>(null);
  const [messages, setMessages] = useState<string[]>([]);
  useEffect(() => {
    let stopped = false;
    const connect = () => {
      const ws = new WebSocket(`${WS_ENDPOINT}?room=${room}`);
      ws.onmessage = (event) => setMessages((all) => [...all, event.data]);
      ws.onclose = () => {
        if (!stopped) setTimeout(connect, 2000);
      };
      ref.current = ws;
    };
    connect();
    return () => {
      stopped = true;
      ref.current?.close();
    };
  }, [room]);
  return <ul>{messages.map((m) => <li key={m}>{m}</li>)}</ul>;
}
