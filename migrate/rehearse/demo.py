"""A small application's source tree, as a team would have it before phase 1. until phase 3"""

from __future__ import annotations

from pathlib import Path

__all__ = ["add_new_use", "take_new_use_away", "write_demo"]

CHAT = """\
const socket = new WebSocket("wss://{api}.execute-api.{region}.amazonaws.com/{stage}");

socket.onmessage = ({{ data }}) => show(JSON.parse(data));

export function say(message) {{
  socket.send(JSON.stringify({{ action: "sendMessage", message, roomId: "main" }}));
}}

function show(frame) {{
  document.querySelector("#messages").append(frame.message);
}}
"""
CI = """\
name: ci
on: [push]
jobs:
  scan:
    runs-on: ubuntu-latest
    steps:
      - uses: actions/checkout@v4
      - run: migrate scan . --baseline .ws-baseline.jsonl --fail-on-new
"""
NEW = 'new WebSocket("wss://{api}.execute-api.{region}.amazonaws.com/{stage}");\n'


def write_demo(root: Path, api: str, region: str, stage: str) -> None:
    """Write it."""
    values = {"api": api, "region": region, "stage": stage}
    for name, text in {
        "web/chat.js": CHAT.format(**values),
        "package.json": '{"name": "demo", "type": "module"}\n',
        ".github/workflows/ci.yml": CI,
    }.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


def add_new_use(root: Path, api: str, region: str, stage: str) -> None:
    """What the gate of phase 1 has to refuse."""
    (root / "web" / "new.js").write_text(NEW.format(api=api, region=region, stage=stage), encoding="utf-8")


def take_new_use_away(root: Path) -> None:
    (root / "web" / "new.js").unlink()
