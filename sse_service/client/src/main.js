export { SseWebSocket, SseWebSocket as default } from "./index.js"
export { SwitchingWebSocket } from "./switching.js"
