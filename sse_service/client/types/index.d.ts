/** Where the service is: one address for every API, addresses by prefix of the WebSocket URL, or a function. */
export type BaseUrl = string | Readonly<Record<string, string>> | ((url: URL) => string | URL)

export interface SseWebSocketOptions {
  /** A token for `Authorization: Bearer …` of the handshake; asked for each time, and once more after a 401. */
  token?: () => string | Promise<string>
  /** Left out: the URL itself, with http(s) for ws(s). */
  baseUrl?: BaseUrl
  /** In place of the global one. */
  fetch?: typeof globalThis.fetch
  /** Further headers of the handshake. */
  headers?: HeadersInit
  /** Default "same-origin"; "include" for cookies of another origin. */
  credentials?: RequestCredentials
  /** Full jitter between 0 and `baseMs` · 2ⁿ, `capMs` at most. Default 250 and 8000. */
  backoff?: { baseMs?: number; capMs?: number }
  /** From the handshake's answer to the first stream. Default 30000. */
  openTimeoutMs?: number
  /** Of one request. Default 30000. */
  requestTimeoutMs?: number
  /** What may wait to be acknowledged; more ends the connection with 1006. Default 64 MiB. */
  maxBufferedBytes?: number
}

/** The WebSocket interface over Server-Sent Events and POST. */
export declare class SseWebSocket extends EventTarget implements WebSocket {
  constructor(url: string | URL, protocols?: string | string[], options?: SseWebSocketOptions)
  static readonly CONNECTING: 0
  static readonly OPEN: 1
  static readonly CLOSING: 2
  static readonly CLOSED: 3
  readonly CONNECTING: 0
  readonly OPEN: 1
  readonly CLOSING: 2
  readonly CLOSED: 3
  readonly url: string
  readonly readyState: number
  /** Bytes sent and not acknowledged by the server. */
  readonly bufferedAmount: number
  readonly extensions: string
  readonly protocol: string
  binaryType: BinaryType
  onopen: ((this: WebSocket, event: Event) => unknown) | null
  onmessage: ((this: WebSocket, event: MessageEvent) => unknown) | null
  /** The event also has `message`, which says what failed. */
  onerror: ((this: WebSocket, event: Event) => unknown) | null
  onclose: ((this: WebSocket, event: CloseEvent) => unknown) | null
  send(data: string | ArrayBufferLike | Blob | ArrayBufferView): void
  close(code?: number, reason?: string): void
  addEventListener<K extends keyof WebSocketEventMap>(
    type: K,
    listener: (this: WebSocket, event: WebSocketEventMap[K]) => unknown,
    options?: boolean | AddEventListenerOptions,
  ): void
  addEventListener(type: string, listener: EventListenerOrEventListenerObject, options?: boolean | AddEventListenerOptions): void
  removeEventListener<K extends keyof WebSocketEventMap>(
    type: K,
    listener: (this: WebSocket, event: WebSocketEventMap[K]) => unknown,
    options?: boolean | EventListenerOptions,
  ): void
  removeEventListener(type: string, listener: EventListenerOrEventListenerObject, options?: boolean | EventListenerOptions): void
}

export interface SwitchingOptions extends SseWebSocketOptions {
  /** Name of the flag: `GET /api/transport?feature=…`. */
  feature: string
  /** Left out: `/api/transport` at the origin where the SSE side is. */
  transportUrl?: string | URL
  /** Parameter of the SSE side's URL that holds the token, where there is no `token`. Default "token". */
  tokenParameter?: string
  /** In place of the global one, for the WebSocket side. */
  WebSocket?: new (url: string | URL, protocols?: string | string[]) => WebSocket
  /** What is tried first when the service does not answer. Default "websocket". */
  fallback?: "websocket" | "sse"
  /** Something that is the same for the same frame; null: never a copy of another. Default: the frame itself. */
  identity?: (data: string | ArrayBuffer) => unknown
  /** What was sent has gone, and its answers have come, after so long without a word. Default 1000. */
  settleMs?: number
  /** After so long a move keeps what is sent, until the other connection takes it. Default 3000. */
  patienceMs?: number
  /** After so long the connection that is left is closed, whatever is under way on it. Default 7000. */
  limitMs?: number
  /** After a move copies of frames may still come for so long. Default 5000. */
  lateMs?: number
  /** Clients that are told together move within so long. Default 1000. */
  spreadMs?: number
  /** How long a connection may take to close. Default 5000. */
  closeMs?: number
  /** How long the service may take to answer which transport it is. Default 5000. */
  askTimeoutMs?: number
}

/** A native WebSocket or an SseWebSocket, as the service's flags say; it moves while it runs. */
export declare class SwitchingWebSocket extends EventTarget implements WebSocket {
  constructor(
    urls: string | URL | { websocket: string | URL; sse: string | URL },
    protocols: string | string[] | undefined,
    options: SwitchingOptions,
  )
  static readonly CONNECTING: 0
  static readonly OPEN: 1
  static readonly CLOSING: 2
  static readonly CLOSED: 3
  readonly CONNECTING: 0
  readonly OPEN: 1
  readonly CLOSING: 2
  readonly CLOSED: 3
  /** What it is on now; null before it is open. A move dispatches a CustomEvent `transport`. */
  readonly transport: "websocket" | "sse" | null
  readonly url: string
  readonly readyState: number
  readonly bufferedAmount: number
  readonly extensions: string
  readonly protocol: string
  binaryType: BinaryType
  onopen: ((this: WebSocket, event: Event) => unknown) | null
  onmessage: ((this: WebSocket, event: MessageEvent) => unknown) | null
  onerror: ((this: WebSocket, event: Event) => unknown) | null
  onclose: ((this: WebSocket, event: CloseEvent) => unknown) | null
  send(data: string | ArrayBufferLike | Blob | ArrayBufferView): void
  close(code?: number, reason?: string): void
  addEventListener<K extends keyof WebSocketEventMap>(
    type: K,
    listener: (this: WebSocket, event: WebSocketEventMap[K]) => unknown,
    options?: boolean | AddEventListenerOptions,
  ): void
  addEventListener(type: string, listener: EventListenerOrEventListenerObject, options?: boolean | AddEventListenerOptions): void
  removeEventListener<K extends keyof WebSocketEventMap>(
    type: K,
    listener: (this: WebSocket, event: WebSocketEventMap[K]) => unknown,
    options?: boolean | EventListenerOptions,
  ): void
  removeEventListener(type: string, listener: EventListenerOrEventListenerObject, options?: boolean | EventListenerOptions): void
}

export default SseWebSocket
