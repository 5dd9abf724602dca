"""Packages that bring WebSocket, and what their names mean: the one table. Pure. until phase 3"""

from __future__ import annotations

import re

__all__ = [
    "JS_CALLS",
    "JS_NEW",
    "NPM_PACKAGES",
    "NPM_PATTERN",
    "PYTHON_PACKAGES",
    "PY_BASES",
    "PY_CALLS",
    "npm_package",
]

# Exports of JavaScript packages called with `new`: name -> rule.
JS_NEW: dict[str, str] = {
    "global#WebSocket": "js-websocket",
    "global#MozWebSocket": "js-websocket",
    **dict.fromkeys(
        (
            "ws#default", "ws#WebSocket", "isomorphic-ws#default", "isomorphic-ws#WebSocket", "undici#WebSocket",
            "websocket#w3cwebsocket", "websocket#client", "faye-websocket#Client", "modern-isomorphic-ws#WebSocket",
            "universal-websocket-client#default", "nodejs-websocket#default",
        ),
        "js-ws-client",
    ),
    **dict.fromkeys(
        (
            "reconnecting-websocket#default", "partysocket#default", "partysocket#WebSocket", "partysocket/ws#default",
            "robust-websocket#default", "sockette#default", "websocket-as-promised#default", "rpc-websockets#Client",
            "sockjs-client#default", "@gamestdio/websocket#default", "websocket-ts#WebsocketBuilder",
            "pusher-js#default", "@stomp/stompjs#Client", "subscriptions-transport-ws#SubscriptionClient",
        ),
        "js-socket-library",
    ),
    **dict.fromkeys(
        (
            "ws#WebSocketServer", "ws#Server", "isomorphic-ws#Server", "isomorphic-ws#WebSocketServer",
            "socket.io#Server", "websocket#server", "faye-websocket#default", "global#WebSocketPair",
        ),
        "js-server",
    ),
    "aws-sdk#ApiGatewayManagementApi": "js-management",
    "aws-sdk/clients/apigatewaymanagementapi#default": "js-management",
}  # fmt: skip

# The same, called without `new`.
JS_CALLS: dict[str, str] = {
    **dict.fromkeys(
        (
            "socket.io-client#io", "socket.io-client#default", "socket.io-client#connect",
            "react-use-websocket#default", "react-use-websocket#useWebSocket", "@vueuse/core#useWebSocket",
            "rxjs/webSocket#webSocket", "rxjs/websocket#webSocket", "graphql-ws#createClient", "sockette#default",
            "sockjs-client#default",
        ),
        "js-socket-library",
    ),
    **dict.fromkeys(
        (
            "socket.io#default", "express-ws#default", "sockjs#createServer", "koa-websocket#default",
            "@hono/node-ws#createNodeWebSocket", "hono/cloudflare-workers#upgradeWebSocket",
            "global#Deno.upgradeWebSocket",
        ),
        "js-server",
    ),
    "ws#createWebSocketStream": "js-ws-client",
}  # fmt: skip

# Callables of Python packages: dotted name -> rule.
PY_CALLS: dict[str, str] = {
    **dict.fromkeys(
        (
            "websockets.connect", "websockets.client.connect", "websockets.legacy.client.connect",
            "websockets.asyncio.client.connect", "websockets.sync.client.connect", "websockets.unix_connect",
            "websocket.create_connection", "websocket.WebSocketApp", "websocket.WebSocket",
            "tornado.websocket.websocket_connect", "httpx_ws.connect_ws", "httpx_ws.aconnect_ws", "socketio.Client",
            "socketio.AsyncClient", "socketio.SimpleClient", "socketio.AsyncSimpleClient", "wsproto.WSConnection",
            "gql.transport.websockets.WebsocketsTransport", "picows.ws_connect",
            "autobahn.asyncio.websocket.WebSocketClientFactory", "autobahn.twisted.websocket.WebSocketClientFactory",
        ),
        "py-client",
    ),
    **dict.fromkeys(
        (
            "websockets.serve", "websockets.server.serve", "websockets.legacy.server.serve",
            "websockets.asyncio.server.serve", "websockets.sync.server.serve", "aiohttp.web.WebSocketResponse",
            "flask_sock.Sock", "flask_socketio.SocketIO", "socketio.Server", "socketio.AsyncServer",
            "starlette.routing.WebSocketRoute", "fastapi.routing.APIWebSocketRoute", "simple_websocket.Server",
            "autobahn.asyncio.websocket.WebSocketServerFactory", "autobahn.twisted.websocket.WebSocketServerFactory",
        ),
        "py-server",
    ),
}  # fmt: skip

# Bases of Python classes that make a server.
PY_BASES = frozenset(
    {
        "tornado.websocket.WebSocketHandler", "starlette.endpoints.WebSocketEndpoint",
        "channels.generic.websocket.WebsocketConsumer", "channels.generic.websocket.AsyncWebsocketConsumer",
        "channels.generic.websocket.JsonWebsocketConsumer", "channels.generic.websocket.AsyncJsonWebsocketConsumer",
        "geventwebsocket.WebSocketApplication",
    }
)  # fmt: skip

NPM_PACKAGES = frozenset(
    {
        "ws", "@types/ws", "isomorphic-ws", "websocket", "@types/websocket", "faye-websocket", "socket.io",
        "socket.io-client", "sockjs", "sockjs-client", "reconnecting-websocket", "partysocket", "robust-websocket",
        "sockette", "websocket-as-promised", "rpc-websockets", "react-use-websocket", "graphql-ws",
        "subscriptions-transport-ws", "express-ws", "koa-websocket", "@fastify/websocket", "fastify-websocket",
        "@nestjs/websockets", "@nestjs/platform-ws", "@nestjs/platform-socket.io", "uWebSockets.js", "wscat",
        "@aws-sdk/client-apigatewaymanagementapi", "serverless-websockets-plugin", "@hono/node-ws", "@stomp/stompjs",
        "pusher-js", "mock-socket", "jest-websocket-mock", "vitest-websocket-mock", "nodejs-websocket",
    }
)  # fmt: skip
NPM_PATTERN = re.compile(r"(?:^|[-/@.])web-?sockets?(?:$|[-/.])")

PYTHON_PACKAGES = frozenset(
    {
        "websockets", "websocket-client", "httpx-ws", "wsproto", "autobahn", "python-socketio", "flask-sock",
        "flask-sockets", "flask-socketio", "channels", "simple-websocket", "gevent-websocket", "picows",
        "types-websocket-client", "pytest-websocket", "django-channels", "fastapi-websocket-pubsub",
    }
)  # fmt: skip


def npm_package(name: str) -> str | None:
    """How sure it is that an npm package brings WebSocket: high, medium or None."""
    if name in NPM_PACKAGES:
        return "high"
    return "medium" if NPM_PATTERN.search(name) else None
