/** Checked by tsc, never run: what a user's TypeScript may rely on. */

import { SseWebSocket as Source } from "../src/index.js"
import { SseWebSocket, SwitchingWebSocket } from "@ws2sse/client"

// A place that wants a WebSocket takes the drop-in, the class as well as its objects.
const implementation: { new (url: string | URL, protocols?: string | string[]): WebSocket } = SseWebSocket
const socket: WebSocket = new SseWebSocket("wss://example.com/ws", ["a"], { token: async () => "…", baseUrl: { "wss://a": "https://b" } })
socket.onmessage = event => event.data
socket.addEventListener("close", event => event.code + event.reason.length)
// The declarations are those of the code.
const same: Pick<SseWebSocket, "url" | "readyState" | "bufferedAmount" | "binaryType" | "send" | "close"> = new Source("wss://example.com")

const switching: WebSocket = new SwitchingWebSocket({ websocket: "wss://a.example", sse: "https://b.example" }, [], { feature: "chat" })

export { implementation, same, socket, switching }
