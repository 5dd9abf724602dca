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

export default SseWebSocket
