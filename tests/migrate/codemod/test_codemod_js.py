"""JavaScript and TypeScript clients to the drop-in client. until phase 3 (MG4)"""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from migrate.codemod.edits import Edit, apply

from .conftest import Rewrite, added, kinds

URL = "wss://chat.example.com/ws"
ESM = "import { SseWebSocket as WebSocket } from '@ws2sse/client';"


def test_one_line_is_added_and_everything_else_stays(rewrite: Rewrite) -> None:
    """The name is imported anew: types, constants, subclasses and aliases follow by themselves."""
    text = f"""
        import a from 'a';

        const W = WebSocket;
        export class Mine extends WebSocket {{}}
        export function open(): WebSocket {{
            const ws = new WebSocket('{URL}',[ "v1" ]) ;   // odd spacing stays
            if (ws.readyState === WebSocket.OPEN) new W('{URL}'); new Mine('{URL}')
            return ws
        }}
        """
    done = rewrite("a.ts", text)
    assert added(done) == [ESM]
    assert done.text_after.replace(ESM + "\n", "") == done.text_before
    assert kinds(done) == ["rewritten"] * 3


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("import WebSocket from 'ws';", "import { SseWebSocket as WebSocket } from '@ws2sse/client';"),
        ('import { WebSocket } from "ws"', 'import { SseWebSocket as WebSocket } from "@ws2sse/client"'),
        ("import { WebSocket as WS } from 'ws';", "import { SseWebSocket as WS } from '@ws2sse/client';"),
        ("const WebSocket = require('ws');", "const { SseWebSocket: WebSocket } = require('@ws2sse/client');"),
        ("var WS = require('ws')", "var { SseWebSocket: WS } = require('@ws2sse/client')"),
        ("const { WebSocket } = require('ws');", "const { SseWebSocket: WebSocket } = require('@ws2sse/client');"),
        ("const WS = require('ws').WebSocket;", "const { SseWebSocket: WS } = require('@ws2sse/client');"),
        ("import { w3cwebsocket as W } from 'websocket';", "import { SseWebSocket as W } from '@ws2sse/client';"),
    ],
)
def test_the_import_of_a_package_is_replaced(rewrite: Rewrite, before: str, after: str) -> None:
    """In its own way of quotes, semicolons and modules; the local name stays."""
    name = after.split(" as ")[-1].split(" ")[0] if " as " in after else after.split(": ")[1].split(" ")[0]
    done = rewrite("a.js", f"{before}\nlet ws = new {name}('{URL}')\n")
    assert done.text_after == f"{after}\nlet ws = new {name}('{URL}')\n"


def test_an_api_of_another_id_is_said_and_left_whatever_is_assumed(rewrite: Rewrite) -> None:
    """Its address is known, so that --assume-ours is not about it."""
    text = "new WebSocket('wss://zzz.execute-api.eu-west-1.amazonaws.com/p')\n"
    done = rewrite("a.js", text, assume=True)
    assert kinds(done) == ["hint"]
    assert done.text_after.endswith(text)
    assert "an API of another id" in done.text_after


def test_a_server_of_the_same_package_keeps_its_import(rewrite: Rewrite) -> None:
    """Then the class is replaced where the socket is opened."""
    done = rewrite(
        "a.mjs",
        f"""
        import WebSocket, {{ WebSocketServer }} from 'ws'
        const server = new WebSocketServer({{ port: 1 }})
        const ws = new WebSocket('{URL}')
        """,
    )
    assert done.text_after.splitlines() == [
        "import WebSocket, { WebSocketServer } from 'ws'",
        "import { SseWebSocket } from '@ws2sse/client'",
        "const server = new WebSocketServer({ port: 1 })",
        f"const ws = new SseWebSocket('{URL}')",
    ]


def test_another_services_socket_in_the_same_file_is_untouched(rewrite: Rewrite) -> None:
    """The global name cannot be taken then."""
    done = rewrite(
        "a.ts",
        f"""
        export const ours = new WebSocket("{URL}");
        export const prices = new WebSocket("wss://ws.kraken.com");
        """,
    )
    assert done.text_after == (
        'import { SseWebSocket } from "@ws2sse/client";\n'
        f'export const ours = new SseWebSocket("{URL}");\n'
        'export const prices = new WebSocket("wss://ws.kraken.com");\n'
    )


def test_only_other_services_is_no_change_at_all(rewrite: Rewrite) -> None:
    """Not even a comment."""
    done = rewrite(
        "a.ts", "export const s = new WebSocket('wss://ws.kraken.com');\ns.onclose = () => setTimeout(f, 1);\n"
    )
    assert not done.changed


@pytest.mark.parametrize(
    ("name", "head"),
    [
        ("a.mjs", "#!/usr/bin/env node\n"),
        ("a.mjs", "/*! Copyright 2024 Somebody. MIT */\n"),
        ("a.mjs", "// SPDX-License-Identifier: MIT\n\n"),
        ("a.mjs", "'use strict';\n"),
        ("a.tsx", '"use client"\n'),
        ("a.mjs", "#!/usr/bin/env node\n/* eslint-env node */\n'use strict';\n"),
        ("a.ts", "// @ts-check\n"),
        ("a.mjs", "// What this file is for.\n\n"),
        ("a.cjs", "'use strict';\nconst a = require('a'), b = require('b');\n"),
        ("a.mjs", "import a from 'a'; // why\nimport {\n  b,\n} from 'b'\n"),
    ],
)
def test_the_import_stands_after_what_must_stand_first(rewrite: Rewrite, name: str, head: str) -> None:
    """Shebang, licence, directives, pragmas, other imports."""
    done = rewrite(name, f"{head}const ws = new WebSocket('{URL}');\n")
    assert done.text_after.startswith(head)
    rest = done.text_after[len(head) :].splitlines()
    assert "@ws2sse/client" in rest[0]
    assert rest[1] == f"const ws = new WebSocket('{URL}');"


def test_a_comment_of_the_first_statement_stays_with_it(rewrite: Rewrite) -> None:
    """A doc comment must not be cut off."""
    done = rewrite("a.ts", f"/** Opens it. */\nexport const open = () => new WebSocket('{URL}');\n")
    assert done.text_after.splitlines()[1:] == [
        "/** Opens it. */",
        f"export const open = () => new WebSocket('{URL}');",
    ]


@pytest.mark.parametrize("bom", [b"", b"\xef\xbb\xbf"])
def test_line_ends_byte_order_mark_and_foreign_bytes_survive(rewrite: Rewrite, bom: bytes) -> None:
    """CRLF, mixed line ends, trailing white space, no line end at the end, characters outside the BMP."""
    body = f"const a = '😀\\n' ;  \r\n\tconst b = 1\r\nexport const ws = new WebSocket('{URL}') \r\n\n// end".encode()
    done = rewrite("a.ts", bom + body)
    assert done.after == bom + b"import { SseWebSocket as WebSocket } from '@ws2sse/client'\r\n" + body


def test_an_encoding_that_is_not_utf_8_survives(rewrite: Rewrite) -> None:
    """Shift_JIS: every byte but the new line's is the old one."""
    body = "// 接続を開く表\nexport const ws = new WebSocket('wss://chat.example.com/ws');\n".encode("shift_jis")
    done = rewrite("a.ts", body)
    line = b"import { SseWebSocket as WebSocket } from '@ws2sse/client';\n"
    assert done.after.replace(line, b"") == body
    utf16 = rewrite("b.ts", f"export const ws = new WebSocket('{URL}');\r\n".encode("utf-16"))
    assert utf16.after.decode("utf-16").startswith("import { SseWebSocket as WebSocket }")


def test_components_and_pages(rewrite: Rewrite) -> None:
    """The script's own indentation; templates and styles stay; a classic script cannot import."""
    vue = rewrite(
        "a.vue",
        "<template>\r\n  <b>new WebSocket('x')</b>\r\n</template>\r\n"
        f"<script setup>\r\n  const ws = new WebSocket('{URL}');\r\n</script>\r\n",
    )
    assert added(vue) == ["  import { SseWebSocket as WebSocket } from '@ws2sse/client';"]
    assert "\n" not in vue.text_after.replace("\r\n", "")
    inline = rewrite("b.svelte", f"<script>const ws = new WebSocket('{URL}');</script>\n<p/>\n")
    assert inline.text_after.startswith("<script>import { SseWebSocket as WebSocket } from '@ws2sse/client';\nconst ws")
    page = rewrite(
        "c.html",
        f"<script>\n  var ws = new WebSocket('{URL}');\n</script>\n"
        f"<script type=module>\n  new WebSocket('{URL}');\n</script>\n",
    )
    assert kinds(page) == ["hint", "rewritten"]
    assert page.text_after.count("@ws2sse/client") == 1


def test_the_events_of_the_package_become_those_of_the_interface(rewrite: Rewrite) -> None:
    """Handlers get an event; the names of their parameters stay."""
    done = rewrite(
        "bot.js",
        f"""
        const WebSocket = require("ws");
        const ws = new WebSocket("{URL}", {{ headers: {{ Authorization: token }} }});
        ws.on("open", () => ws.send("hi"));
        ws.on("message", (data) => show(data.toString()));
        ws.on("message", async raw => show(raw));
        ws.on("close", (code, why) => log(code, why));
        ws.on("close", onClose);
        ws.once("message", function (data) {{ first(data); }});
        ws.on("error", console.error);
        other.on("message", (data) => data);
        ws.terminate();
        """,
    )
    assert done.text_after.splitlines() == [
        'const { SseWebSocket: WebSocket } = require("@ws2sse/client");',
        f'const ws = new WebSocket("{URL}", [], {{ headers: {{ Authorization: token }} }});',
        'ws.addEventListener("open", () => ws.send("hi"));',
        'ws.addEventListener("message", ({ data }) => show(data.toString()));',
        'ws.addEventListener("message", async ({ data: raw }) => show(raw));',
        'ws.addEventListener("close", ({ code, reason: why }) => log(code, why));',
        'ws.addEventListener("close", ({ code, reason }) => onClose(code, reason));',
        'ws.addEventListener("message", function ({ data }) { first(data); }, { once: true });',
        'ws.addEventListener("error", console.error);',
        'other.on("message", (data) => data);',
        "ws.close();",
    ]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("ws.ping();", "ping"),
        ("ws.on('pong', f);", "pong"),
        ("ws.on('message', (data, isBinary) => f(data, isBinary));", "message"),
        ("ws.send('x', () => f());", "callback"),
        ("ws.on('open', f).on('close', g);", "chained"),
    ],
)
def test_what_has_no_equivalent_leaves_the_socket_as_it_is(rewrite: Rewrite, line: str, reason: str) -> None:
    """Not half of it: a converted socket with a call that does not exist would fail at run time."""
    done = rewrite(
        "bot.js", f"const WebSocket = require('ws');\nconst ws = new WebSocket('{URL}');\nws.on('open', f);\n{line}\n"
    )
    assert kinds(done) == ["hint"]
    assert reason in done.changes[0].what
    assert [text for text in added(done) if "ws2sse:" not in text] == []


def test_reconnect_logic_is_marked_and_not_deleted(rewrite: Rewrite) -> None:
    """With the code's indentation, above directives for the next line."""
    done = rewrite(
        "a.ts",
        f"""
        export class Chat {{
          open() {{
            this.ws = new WebSocket("{URL}");
            // eslint-disable-next-line no-restricted-syntax
            this.ws.onclose = () => this.reconnect();
          }}
          reconnect() {{
            setTimeout(() => this.open(), 1000);
          }}
        }}
        """,
    )
    lines = done.text_after.splitlines()
    marks = [number for number, line in enumerate(lines) if "ws2sse: can go" in line]
    assert kinds(done) == ["rewritten", "marked", "marked"]
    assert lines[marks[0] + 1].strip().startswith("// eslint-disable-next-line")
    assert lines[marks[0]].startswith("    // ws2sse:")
    assert lines[marks[1] + 1] == "  reconnect() {"


def test_what_cannot_be_judged_is_left_with_a_hint(rewrite: Rewrite) -> None:
    """And with --assume-ours it is rewritten after all; the hint says so."""
    text = "export const ws = (url) => new WebSocket(url);\n"
    assert kinds(rewrite("a.ts", text)) == ["hint"]
    assert kinds(rewrite("b.ts", text, assume=True)) == ["rewritten"]
    assert kinds(rewrite("c.js", f"var ws = new WebSocket('{URL}');\n")) == ["hint"]
    assert kinds(rewrite("d.js", f"var ws = new WebSocket('{URL}');\n", module="esm")) == ["rewritten"]


def test_a_comment_never_lands_in_a_template_string_or_in_markup(rewrite: Rewrite) -> None:
    """It stands above the statement, wherever the expression is."""
    done = rewrite(
        "a.tsx",
        """
        export const A = ({ url }) => (
          <p>
            {`text
              ${new WebSocket(url)}`}
          </p>
        );
        """,
    )
    assert done.text_after.splitlines()[0].startswith("// ws2sse: not rewritten")
    assert added(done) == [done.text_after.splitlines()[0]]


def test_edits_that_overlap_are_refused() -> None:
    """Better no rewrite than a broken one."""
    assert apply("abc", [Edit(1, 1, "x"), Edit(1, 2, "y"), Edit(1, 1, "x")]) == "axyc"
    with pytest.raises(ValueError, match="overlap"):
        apply("abcd", [Edit(0, 2, "x"), Edit(1, 3, "y")])


def test_a_rewritten_bot_runs(rewrite: Rewrite, tmp_path: Path) -> None:
    """In Node, with a stand-in for the package: handlers get what they got from `ws`."""
    node = shutil.which("node")
    assert node is not None
    done = rewrite(
        "bot.cjs",
        f"""
        const WebSocket = require('ws');
        const seen = [];
        const ws = new WebSocket('{URL}');
        ws.once('open', () => ws.send(JSON.stringify({{ action: 'hello' }})));
        ws.on('message', (data) => seen.push(JSON.parse(data.toString())));
        ws.on('message', keep);
        ws.on('close', (code, reason) => {{ seen.push([code, reason.toString()]); tell(); }});
        function tell() {{ console.log(JSON.stringify(seen)); }}
        function keep(data) {{ seen.push(data.length); }}
        """,
    )
    package = tmp_path / "node_modules" / "@ws2sse" / "client"
    package.mkdir(parents=True)
    (package / "package.json").write_text('{"main": "index.cjs"}')
    (package / "index.cjs").write_text(
        """
        exports.SseWebSocket = class extends EventTarget {
          constructor(url) { super(); setTimeout(() => this.dispatchEvent(new Event('open'))); }
          send(text) {
            this.dispatchEvent(Object.assign(new Event('message'), { data: text }));
            this.dispatchEvent(new Event('open'));
            this.dispatchEvent(Object.assign(new Event('close'), { code: 1000, reason: 'done' }));
          }
        };
        """
    )
    assert kinds(done) == ["rewritten"]
    ran = subprocess.run([node, str(done.path)], capture_output=True, text=True, check=False, timeout=60)
    assert ran.returncode == 0, ran.stderr
    assert json.loads(ran.stdout) == [{"action": "hello"}, 18, [1000, "done"]]


SIMPLE = f"""
const ws = new WebSocket('{URL}');
ws.onmessage = (event) => show(JSON.parse(event.data));
export const send = (message, roomId) => ws.send(JSON.stringify({{ action: 'sendMessage', message, roomId }}));
export const stop = () => ws.close();
"""


def test_event_source_and_rest_where_it_is_simple(rewrite: Rewrite) -> None:
    """The frame's fields become those of the request."""
    done = rewrite("a.mjs", SIMPLE, to="eventsource")
    assert [line for line in added(done) if "ws2sse:" not in line] == [
        'const ws = new EventSource("/api/chat/stream", { withCredentials: true });',
        'export const send = (message, roomId) => fetch("/api/chat/send", { method: "POST", credentials: "include", '
        'headers: { "Content-Type": "application/json" }, '
        "body: JSON.stringify({ message, conversationId: roomId }) });",
    ]


@pytest.mark.parametrize(
    "line",
    [
        "ws.onclose = () => f();",
        "ws.send('text');",
        "ws.send(JSON.stringify({ action: 'getHistory' }));",
        "ws.send(JSON.stringify({ action: 'sendMessage', ...rest }));",
        "keep(ws);",
        "ws.binaryType = 'blob';",
    ],
)
def test_what_is_not_simple_keeps_its_socket(rewrite: Rewrite, line: str) -> None:
    """A hint, and not one other byte."""
    done = rewrite("a.mjs", SIMPLE + line + "\n", to="eventsource")
    assert kinds(done) == ["hint"]
    assert all("ws2sse: not rewritten" in new for new in added(done))
