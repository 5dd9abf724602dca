"""legacy_ws.cli.output: what clients chose is printed as it is, and what is piped is never broken. until phase 3"""

from __future__ import annotations

import importlib
import io

import pytest
from rich.console import Console

from legacy_ws.cli import output
from legacy_ws.errors import RefusedError

HOSTILE = "[/red] [link=https://evil.example]:smile: [bold]x[/nope]"


def test_text_of_clients_is_neither_markup_nor_emoji(capsys: pytest.CaptureFixture[str]) -> None:
    """Fault of the terminal: a client's text is no instruction to whoever reads the table."""
    output.print_table(["id", "[/x]:smile:"], [["c1", HOSTILE], ["c2", {"name": HOSTILE}]], title=f"of {HOSTILE}")
    shown = capsys.readouterr().out
    assert shown.count(HOSTILE) == 3
    assert "[/x]:smile:" in shown


@pytest.mark.parametrize("module", ["legacy_ws.cli.output", "migrate.cli.output"])
@pytest.mark.parametrize("stream", ["out", "err"])
def test_no_console_takes_text_for_markup(module: str, stream: str, monkeypatch: pytest.MonkeyPatch) -> None:
    console: Console = getattr(importlib.import_module(module), stream)
    written = io.StringIO()
    monkeypatch.setattr(console, "_file", written)
    console.print(HOSTILE)
    assert written.getvalue() == HOSTILE + "\n"


def test_progress_on_a_terminal_shows_names_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    written = io.StringIO()
    terminal = Console(file=written, force_terminal=True, width=200, markup=False, emoji=False, highlight=False)
    monkeypatch.setattr(output, "err", terminal)
    with output.progress(f"reading {HOSTILE}") as update:
        update(f"more of {HOSTILE}")
    assert HOSTILE in written.getvalue()


def test_a_piped_table_has_one_line_a_row_whatever_the_width(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    wide = [["a" * 60, "b " * 60 + "end", "line\nbreak\ttab"], ["c", "d", "e"]]
    output.print_table(["part", "name of it", "state"], wide, title="a title that is longer than forty columns " * 2)
    lines = capsys.readouterr().out.splitlines()
    row = next(line for line in lines if "a" * 60 in line)
    assert "b " * 60 + "end" in row
    assert r"line\nbreak\ttab" in row
    assert len(lines) == 1 + 5 + 1  # title; frame, header, rule, two rows, frame


def test_a_no_is_not_answered_with_what_was_never_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """`token` asks whether a password may be replaced: nothing would be deleted."""
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"n\n")))
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    with pytest.raises(RefusedError, match="nothing was changed"):
        output.confirm("Replace the password?", yes=False)
