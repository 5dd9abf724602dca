"""The pictures of the documents: what a terminal showed is drawn, and nothing of the machine is in it. until phase 3"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from xml.etree import ElementTree as ET

import click
import pytest
import typer.main

from migrate.cli import app

ROOT = Path(__file__).parent.parent.parent
IMAGES = ROOT / "docs" / "images"
sys.path.append(str(ROOT / "docs" / "pictures"))

from disguise import Disguise, LeftoverError  # noqa: E402 - a script's modules, not a package's
from record import SESSIONS  # noqa: E402
from terminal import Line, Screen, picture  # noqa: E402


def shown(*written: str, width: int = 40) -> list[str]:
    screen = Screen(width)
    for number, text in enumerate(written):
        screen.feed(text, float(number))
    return [line.plain for line in screen.lines()]


def test_a_progress_bar_leaves_its_last_state() -> None:
    """Rich moves up and erases; what it took back is not in the picture."""
    assert shown("counting 1\r\n", "\x1b[1A\x1b[2K\rcounting 2\r\n\x1b[1A\x1b[2K", "done\r\n") == ["done"]
    assert shown("\x1b[?25lwait\r\x1b[Kready\x1b[?25h\r\n") == ["ready"]


def test_a_sequence_that_is_cut_between_two_reads_is_one() -> None:
    """A pty is read in pieces."""
    assert shown("a\x1b[3", "1mb\x1b[0m\r\n") == ["ab"]


def test_long_and_wide_lines_wrap_where_a_terminal_wraps_them() -> None:
    """Two cells for a wide character; none is cut in half."""
    assert shown("abcdef", width=4) == ["abcd", "ef"]
    assert shown("ab日本", width=5) == ["ab日", "本"]


def test_a_picture_loads_nothing_and_plays_line_by_line() -> None:
    """A long pause is cut short; who wants no motion gets the end at once."""
    svg = picture([Line("\x1b[31mred\x1b[0m & <b>", 0.0), Line("later", 60.0)], 40, "A title")
    drawn = ET.fromstring(svg)
    assert "A&#160;title" in svg
    assert {text.text for text in drawn.iter("{http://www.w3.org/2000/svg}text")} >= {"red", "later"}
    assert re.search(r"https?://(?!www\.w3\.org/)|@import|@font-face|<script", svg) is None
    assert 'url(#s-line-1)"] { animation: appear 1ms 0.70s backwards; }' in svg
    assert "prefers-reduced-motion: no-preference" in svg


def test_what_is_of_this_machine_is_replaced_or_the_picture_is_not_made() -> None:
    """Whole words only, longer names first; what is left ends the run."""
    disguise = Disguise(
        {"/tmp/x1": "~/ws2sse", "/tmp/x1/deep": "~/deep", "28118": "40113", "box": "laptop"}, (":28118",)
    )
    assert disguise("http://127.0.0.1:28118/ on box (pid 77)") == "http://127.0.0.1:40113/ on laptop (pid 4711)"
    assert disguise("/tmp/x1/deep and /tmp/x1, boxes") == "~/deep and ~/ws2sse, boxes"
    with pytest.raises(LeftoverError, match="secret"):
        Disguise({}, ("secret",))("a secret")


def options(command: click.Command) -> set[str]:
    return {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}


@pytest.mark.parametrize("line", [line for _, commands in SESSIONS.values() for line in commands])
def test_the_commands_that_are_recorded_exist(line: str) -> None:
    """So that `make pictures` does not find out after five minutes."""
    command: click.Command = typer.main.get_command(app)
    for word in line.split(" ")[1:]:
        if word.startswith("--"):
            assert word in options(command), line
        else:
            command = getattr(command, "commands", {}).get(word, command)


def pictures() -> list[Path]:
    return sorted(IMAGES.glob("*.svg"))


@pytest.mark.parametrize("path", pictures(), ids=lambda path: path.name)
def test_a_committed_picture_is_whole_and_of_no_machine(path: Path) -> None:
    """Well-formed, loads nothing, names no directory of a machine and no host but this one."""
    text = path.read_text(encoding="utf-8")
    ET.fromstring(text)
    assert re.search(r"(?:href|src)=\"(?!#)|url\((?!#)|@import|<script", text) is None
    plain = text.replace("&#160;", " ")
    assert re.findall(r"(?<![\w~])/(?:tmp|home|root|work|Users|var)/[^\s<\"]*", plain) == []
    addresses = set(re.findall(r"(?:https?|wss?)://([^/\s:<\"&]+)", plain)) - {"www.w3.org", "127.0.0.1"}
    assert addresses == set()


def test_every_session_has_its_picture() -> None:
    """And the other way round: `make pictures` makes all that is there, but for the one that is drawn."""
    assert {path.stem for path in pictures()} == {*SESSIONS, "phases"}
