"""The pictures of the documents, from the real thing: `make pictures`, or `python docs/pictures/record.py [NAME ...]`.

Starts both stacks in a directory of its own, runs the commands that the documents name in a terminal (a pty), and
writes what it showed to docs/images/NAME.svg; opens the pages in Chromium and writes docs/images/NAME.png. Names,
addresses and paths of this machine are replaced (`disguise.py`), and the run ends with an error if one is left.
until phase 3
"""

from __future__ import annotations

import codecs
import fcntl
import getpass
import json
import os
import pty
import re
import select
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import termios
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from disguise import HOME, IDS, PORTS, Disguise
from pages import chromium, shoot
from playwright.sync_api import Page, expect
from terminal import Line, Screen, picture

from migrate.config import load_config
from migrate.config.write import to_toml
from migrate.rehearse.stage import GATES

ROOT = Path(__file__).resolve().parent.parent.parent
IMAGES = ROOT / "docs" / "images"
BIN = Path(sys.executable).parent
WIDTH, HEIGHT = 120, 60
COMMAND_S = 400.0
EVIDENCE_S = 240.0
ATTEMPTS = 4

# Each command with the exit code it has to end with: a picture shows what the documents promise, or is not made.
SESSIONS: dict[str, tuple[str, Mapping[str, int]]] = {
    "compare": (
        "Did both deliver the same?",
        {
            "migrate compare": 0,
            "migrate bridge stop": 0,
            "migrate compare --messages 60 --limit 2": 3,
            "migrate bridge start": 0,
        },
    ),
    "cutover": (
        "Over, and back",
        {
            "migrate shadow status": 0,
            "migrate compare": 0,
            "migrate cutover chat --percent 50": 0,
            "migrate cutover chat --percent 50 --execute": 0,
            "migrate rollback chat --note 'ticket 4711'": 0,
            "migrate journal --limit 3": 0,
        },
    ),
    "cleanup": (
        "The way out, looked at before",
        {"migrate drain start": 0, "migrate cleanup connections": 0, "migrate cleanup resources plan": 0},
    ),
    "checklist": ("The checklist of phase 2", {"migrate phase2": 0}),
    "rehearse": ("The whole migration, rehearsed", {"migrate rehearse": 0}),
}
PAGES = ("live-page", "chat-page", "dashboard")
# What needs traffic that is shadowed, and enough of it.
AFTER_SHADOW = ("cutover", "dashboard", "cleanup", "checklist")


class UnexpectedError(Exception):
    """A command ended otherwise than the documents say."""


class Stage:
    """Both stacks, in a directory that is theirs alone."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.env = self._environment()

    def _environment(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if name in ("LANG", "LC_ALL", "TZ")}
        return {
            **kept,
            "PATH": f"{BIN}{os.pathsep}{os.environ.get('PATH', '')}",
            "HOME": str(self.folder),
            "TERM": "xterm-256color",
            "MIGRATE_ACTOR": "ann",
        }

    def up(self) -> Mapping[str, Any]:
        """Start them; what `--json` says."""
        done = self.quiet("up", "--detach", "--json")
        value: dict[str, Any] = json.loads(done)
        return value

    def down(self) -> None:
        """Stop them, whatever they are at."""
        subprocess.run([BIN / "migrate", "down"], cwd=self.folder, env=self.env, capture_output=True, check=False)

    def quiet(self, *arguments: str, code: int | None = 0) -> str:
        """A command nobody sees; its stdout."""
        done = subprocess.run(
            [BIN / "migrate", *arguments], cwd=self.folder, env=self.env, capture_output=True, text=True, check=False,
            timeout=COMMAND_S,
        )  # fmt: skip
        if code is not None and done.returncode != code:
            raise SystemExit(f"error: migrate {' '.join(arguments)} ended with {done.returncode}\n{done.stderr}")
        return done.stdout

    def shadowed(self, up: Mapping[str, Any]) -> None:
        """Until there is evidence enough for a verdict, by a `migrate.toml` of the demo with thresholds for minutes."""
        self.quiet("shadow", "start", "--config", "rooms")
        settings = load_config(self.folder / ".migrate" / "config" / "rooms.toml").settings
        # As a team would write it: the picture shows no directory of this machine.
        records = str(Path(settings.project.records).relative_to(self.folder.resolve()))
        project = replace(settings.project, records=records)
        written = to_toml(replace(settings, gates=GATES, project=project))
        (self.folder / "migrate.toml").write_text(written, encoding="utf-8")
        self.env = {
            **self.env,
            **up["env"],
            "SSE_JWT_SECRET": (self.folder / ".migrate" / "jwt-secret").read_text(encoding="utf-8").strip(),
        }
        end = time.monotonic() + EVIDENCE_S
        while json.loads(self.quiet("compare", "--json", "--no-save", code=None))["verdict"] != "pass":
            if time.monotonic() > end:
                raise SystemExit("error: there is no passing comparison of the demo's traffic\nhint: migrate compare")
            time.sleep(3)


def perform(stage: Stage, commands: Mapping[str, int]) -> list[Line]:
    """Type the commands into a terminal, one after the other; what it showed."""
    screen = Screen(WIDTH)
    began = time.monotonic()
    for number, (command, expected) in enumerate(commands.items()):
        screen.feed(
            ("\r\n" if number else "") + f"\x1b[32m$\x1b[0m \x1b[1m{command}\x1b[0m\r\n", time.monotonic() - began
        )
        code = _run(stage, command, screen, began)
        if code != expected:
            shown = "\n".join(line.plain for line in screen.lines()[-20:])
            raise UnexpectedError(f"{shown}\nerror: `{command}` ended with {code} instead of {expected}")
    return screen.lines()


def _run(stage: Stage, command: str, screen: Screen, began: float) -> int:
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", HEIGHT, WIDTH, 0, 0))
    child = subprocess.Popen(
        ["/bin/sh", "-c", command], cwd=stage.folder, env=stage.env, stdin=theirs, stdout=theirs, stderr=theirs,
        start_new_session=True,
    )  # fmt: skip
    os.close(theirs)
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    end = time.monotonic() + COMMAND_S
    try:
        while True:
            readable, _, _ = select.select([ours], [], [], 1.0)
            if time.monotonic() > end:
                raise SystemExit(f"error: `{command}` did not end")
            if readable:
                try:
                    data = os.read(ours, 65536)
                except OSError:  # EIO: the other end is closed
                    break
                if not data:
                    break
                screen.feed(decoder.decode(data), time.monotonic() - began)
        return child.wait(10)
    finally:
        if child.poll() is None:
            os.killpg(child.pid, signal.SIGTERM)
            child.wait(60)
        os.close(ours)


def disguise_of(stage: Stage, up: Mapping[str, Any] | None) -> Disguise:
    """What of this machine may show."""
    user, host = getpass.getuser(), socket.gethostname()
    names = {str(stage.folder): HOME, str(stage.folder.resolve()): HOME, host: "laptop", str(ROOT): "~/src/ws2sse"}
    secret = [str(stage.folder), str(ROOT), str(Path.home()) if str(Path.home()) != "/" else "", host]
    if user != "root":
        names[user] = "ann"
        secret.append(user)
    if up is not None:
        text = json.dumps(up)
        ports = dict.fromkeys(re.findall(r"127\.0\.0\.1:(\d+)", text))
        names |= dict(zip(ports, PORTS, strict=False))
        ids = [str(up["stacks"][name]["api_id"]) for name in ("rooms", "direct", "layers")]
        names |= dict(zip(ids, IDS, strict=True))
        secret += [f":{port}" for port in ports if port not in PORTS] + ids
    return Disguise(names, tuple(secret))


def record(name: str, stage: Stage, disguise: Disguise) -> None:
    """One session, as docs/images/NAME.svg. On a busy machine a verdict may be another one: it is played again."""
    title, commands = SESSIONS[name]
    for attempt in range(1, ATTEMPTS + 1):
        try:
            shown = perform(stage, commands)
            break
        except UnexpectedError as error:
            if attempt == ATTEMPTS:
                raise SystemExit(f"{error}\nhint: is the machine busy?") from None
            _say(f"{name} once more: {error.args[0].splitlines()[-1]}")
            stage.quiet("bridge", "start", code=None)
    lines = [Line(disguise(line.text), line.at) for line in shown]
    disguise("\n".join(line.plain for line in lines))
    (IMAGES / f"{name}.svg").write_text(picture(lines, WIDTH, title), encoding="utf-8")


def photograph(name: str, stage: Stage, up: Mapping[str, Any], disguise: Disguise) -> None:
    """One page, as docs/images/NAME.png."""
    opened: Callable[[Page], None]
    if name == "live-page":
        url = str(up["dashboard_url"])

        def opened(page: Page) -> None:
            expect(page.locator("#matched")).to_have_text(re.compile(r"^[1-9]\d+$"), timeout=60_000)

    elif name == "chat-page":
        token = stage.quiet("token", "--user", "ann", "--tenant", "demo").strip()
        url = f"{up['sse_url']}/chat#token={token}"

        def opened(page: Page) -> None:
            expect(page.locator("#transport")).to_have_attribute("data-state", "live", timeout=30_000)
            page.locator(".entry", has=page.locator(".title", has_text="#main")).click()
            page.locator("#text").fill("Is anybody still on WebSocket? Nobody can tell.")
            page.locator("#text").press("Enter")
            page.wait_for_timeout(6_000)  # some answers, and the tick

    else:
        _dashboard(stage, disguise)
        return
    with chromium() as browser:
        shoot(browser, url, IMAGES / f"{name}.png", opened, disguise)


def _dashboard(stage: Stage, disguise: Disguise) -> None:
    """`migrate dashboard` beside the stacks, for as long as its picture takes."""
    arguments = [str(BIN / "migrate"), "dashboard", "--json"]
    with subprocess.Popen(arguments, cwd=stage.folder, env=stage.env, stdout=subprocess.PIPE, text=True) as child:
        try:
            assert child.stdout is not None  # noqa: S101 - for the type checker
            url = json.loads("".join(iter(child.stdout.readline, "}\n")) + "}")["url"]

            def opened(page: Page) -> None:
                expect(page.locator("body")).to_have_attribute("data-stream", "live", timeout=30_000)
                page.wait_for_timeout(60_000)  # curves of a minute

            with chromium() as browser:
                shoot(browser, url, IMAGES / "dashboard.png", opened, disguise, size=(1200, 900))
        finally:
            child.terminate()


def main(wanted: Sequence[str]) -> int:
    """Make those pictures, or all."""
    known = ["live-page", "chat-page", "compare", "cutover", "dashboard", "cleanup", "checklist", "rehearse"]
    unknown = [name for name in wanted if name not in known]
    if unknown:
        sys.stderr.write(f"error: there is no picture {unknown[0]}\nhint: {', '.join(known)}\n")
        return 2
    chosen = [name for name in known if not wanted or name in wanted]
    IMAGES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="ws2sse-pictures-") as folder:
        stage = Stage(Path(folder))
        if any(name != "rehearse" for name in chosen):
            up = stage.up()
            try:
                disguise = disguise_of(stage, up)
                ready = False
                for name in [one for one in chosen if one != "rehearse"]:
                    if name in AFTER_SHADOW and not ready:
                        stage.shadowed(up)
                        ready = True
                    _say(name)
                    if name == "cleanup":
                        # A drain of people who have nowhere to go is refused.
                        stage.quiet("compare", code=None)
                        stage.quiet("cutover", "chat", "--percent", "100", "--execute")
                    if name in PAGES:
                        photograph(name, stage, up, disguise)
                    else:
                        record(name, stage, disguise)
            finally:
                stage.down()
        if "rehearse" in chosen:
            # It brings stacks of its own.
            _say("rehearse")
            record("rehearse", stage, disguise_of(stage, None))
    return 0


def _say(name: str) -> None:
    sys.stderr.write(f"docs/images: {name}\n")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
