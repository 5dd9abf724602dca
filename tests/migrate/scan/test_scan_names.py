"""Aliases, re-exports, shadowed names, traced addresses: what a plain search gets wrong. until phase 3 (MG3)"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from migrate.scan.identity import StackIdentity
from migrate.scan.model import Finding, Target

Scan = Callable[..., list[Finding]]
OURS = StackIdentity(frozenset({"abc123"}), ("*.chat.example.com",), ("CHAT_*",))


def rules(found: list[Finding]) -> list[str]:
    return [finding.rule for finding in found]


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("new WebSocket(u)", ["js-websocket"]),
        ("const W = WebSocket; new W(u)", ["js-websocket"]),
        ("let W; if (a) W = WebSocket; else W = require('ws'); new W(u)", ["js-websocket"]),
        ("import { WebSocket as S } from 'ws'; new S(u)", ["js-ws-client"]),
        ("import * as ws from 'ws'; new ws.WebSocketServer({})", ["js-server"]),
        ("import S = require('ws'); new S(u)", ["js-ws-client"]),
        ("class WebSocket {} new WebSocket(u)", []),
        ("function f() { class WebSocket {} } new WebSocket(u)", ["js-websocket"]),
        ("import { WebSocket } from './mine'; new WebSocket(this, 'x')", []),
        ("import { WebSocket } from 'mock-socket'; new WebSocket(u)", []),
        ("import type { WebSocket } from 'ws'; new WebSocket(u)", ["js-websocket"]),
        ("declare const WebSocket: any; new WebSocket(u)", ["js-websocket"]),
        ("const f = (Ctor = WebSocket) => new Ctor(u)", ["js-websocket"]),
        ("const o = { S: WebSocket }; new o.S(u)", ["js-websocket"]),
        ("try { x() } catch (WebSocket) { new WebSocket(u) }", []),
        ("for (const WebSocket of all) new WebSocket(u)", []),
    ],
)
def test_javascript_names(scanned: Scan, code: str, expected: list[str]) -> None:
    """One statement, the rules it gives."""
    assert rules(scanned({"a.ts": code})) == expected


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("import websockets as w\nw.connect(u)", ["py-client"]),
        ("from websockets import connect as c\nc(u)", ["py-client"]),
        ("from websockets import *\nconnect(u)", ["py-client"]),
        ("import websockets.sync.client\nwebsockets.sync.client.connect(u)", ["py-client"]),
        ("try:\n    import websockets as w\nexcept ImportError:\n    w = None\nw.connect(u)", ["py-client"]),
        ("class websockets:\n    connect = print\nwebsockets.connect(u)", []),
        ("def f(websockets):\n    websockets.connect(u)", []),
        ("import functools, websockets\nf = functools.partial(websockets.connect, ssl=None)\nf(u)", ["py-client"]),
        ("import sqlite3\nsqlite3.connect('websocket')", []),
    ],
)
def test_python_names(scanned: Scan, code: str, expected: list[str]) -> None:
    """One snippet, the rules it gives."""
    assert rules(scanned({"a.py": code})) == expected


def test_a_re_exported_class_is_found_in_a_file_without_any_word_of_ours(scanned: Scan) -> None:
    """Neither the user nor the barrel between says WebSocket."""
    found = scanned(
        {
            "net/raw.ts": "export const Line = WebSocket;",
            "net/index.ts": "export * from './raw';",
            "app/deep.ts": "export { Line as Wire } from '../net';",
            "app/user.ts": "import { Wire } from './deep';\nnew Wire('x');",
        }
    )
    assert [(finding.path, finding.line) for finding in found] == [("app/user.ts", 2)]


def test_a_re_exported_python_function_is_found_too(scanned: Scan) -> None:
    """Through the package's __init__."""
    found = scanned(
        {
            "pkg/__init__.py": "from .raw import dial\n",
            "pkg/raw.py": "from websockets import connect as dial\n",
            "use.py": "from pkg import dial\n\ndial(u)\n",
        }
    )
    assert [(finding.path, finding.line) for finding in found] == [("use.py", 3)]


@pytest.mark.parametrize(
    ("code", "target"),
    [
        ("new WebSocket('wss://abc123.execute-api.eu-west-1.amazonaws.com/prod')", Target.THIS),
        ("new WebSocket('wss://zzz999.execute-api.eu-west-1.amazonaws.com/prod')", Target.ANOTHER_API),
        ("new WebSocket(`wss://${id}.execute-api.${region}.amazonaws.com/prod`)", Target.UNKNOWN),
        ("new WebSocket('wss://eu.chat.example.com:8443/ws')", Target.THIS),
        ("new WebSocket('wss://chat.example.com.evil.net/ws')", Target.OTHER),
        ("new WebSocket(`wss://${tenant}.chat.example.com`)", Target.THIS),
        ("new WebSocket('wss://elsewhere.example.net')", Target.OTHER),
        ("new WebSocket('ws://localhost:3000')", Target.UNKNOWN),
        ("new WebSocket(process.env.CHAT_URL)", Target.THIS),
        ("new WebSocket(process.env.OTHER_URL)", Target.UNKNOWN),
        ("const base = 'eu.chat.example.com'; new WebSocket('wss://' + base + '/ws')", Target.THIS),
        ("const u = new URL('/ws', 'https://eu.chat.example.com'); new WebSocket(u)", Target.THIS),
        ("const http = 'https://eu.chat.example.com'; new WebSocket(http.replace(/^http/, 'ws'))", Target.THIS),
        ("const url = () => 'wss://eu.chat.example.com'; new WebSocket(url())", Target.THIS),
        ("const u = dev ? 'ws://localhost' : 'wss://eu.chat.example.com'; new WebSocket(u)", Target.THIS),
        ("const c = Object.freeze({ ws: 'wss://eu.chat.example.com' }); new WebSocket(c.ws)", Target.THIS),
        ("new WebSocket(location.href.replace('http', 'ws'))", Target.UNKNOWN),
    ],
)
def test_where_a_connection_goes(scanned: Scan, code: str, target: Target) -> None:
    """An address traced through constants, templates, variables and functions."""
    assert [finding.target for finding in scanned({"a.ts": code}, OURS)] == [target]


def test_without_any_identity_every_api_gateway_is_this_stack_and_no_domain_is(scanned: Scan) -> None:
    """What `migrate scan src` says before anything was configured; well-known services are other ones anyway."""
    found = scanned(
        {
            "a.js": "new WebSocket('wss://q.execute-api.eu-west-1.amazonaws.com/p')\n"
            "new WebSocket('wss://my.example.com')\nnew WebSocket('wss://ws.kraken.com')"
        }
    )
    assert [finding.target for finding in found] == [Target.THIS, Target.UNKNOWN, Target.OTHER]


def test_an_address_of_another_module_and_of_a_settings_file(scanned: Scan) -> None:
    """Imports one level deep, default and namespace imports, .env next to the package."""
    found = scanned(
        {
            ".env.local": "WS=wss://eu.chat.example.com/ws\n",
            "src/config.ts": "const config = { ws: 'wss://eu.chat.example.com/a' };\nexport default config;\n"
            "export const URLS = { other: 'wss://x.example.net' };",
            "src/a.ts": "import c, { URLS } from './config';\nimport * as all from '@/config';\n"
            "new WebSocket(c.ws);\nnew WebSocket(URLS.other);\nnew WebSocket(all.URLS.other);\n"
            "new WebSocket(import.meta.env.WS);",
        },
        OURS,
    )
    assert [(finding.line, finding.target) for finding in found if finding.path.endswith(".ts")] == [
        (3, Target.THIS),
        (4, Target.OTHER),
        (5, Target.OTHER),
        (6, Target.THIS),
    ]
