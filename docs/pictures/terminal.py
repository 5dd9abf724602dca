"""What a terminal shows, as an SVG: from the bytes that a program wrote into a pty. Pure. until phase 3

Only what our own commands write is understood: text, colours, `\\r`, moves of the cursor, erasing (progress bars). The
picture is played by style rules alone, each line at the moment it came, pauses cut short; a viewer without animation,
or a reader who wants none, sees the end at once. Nothing is loaded from elsewhere.

Source: ECMA-48, 5th edition, 8.3 (CUU, CUD, CUF, CUB, CHA, ED, EL, SGR).
"""

from __future__ import annotations

import io
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.terminal_theme import SVG_EXPORT_THEME
from rich.text import Text

__all__ = ["Line", "Screen", "picture"]

# Longer pauses are shortened to this, seconds.
PAUSE_S = 0.7
_ESCAPE = re.compile(r"\x1b(?:\[([0-9;?]*)([A-Za-z])|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-Z\\-_=>])")
_RESET = "\x1b[0m"

# Rich's own, without fonts from elsewhere, and with the animation.
_FORMAT = """\
<svg class="rich-terminal" viewBox="0 0 {width} {height}" xmlns="http://www.w3.org/2000/svg">
    <style>
    .{unique_id}-matrix {{
        font-family: ui-monospace, "SF Mono", Menlo, Consolas, "DejaVu Sans Mono", monospace;
        font-size: {char_height}px;
        line-height: {line_height}px;
        font-variant-east-asian: full-width;
    }}
    .{unique_id}-title {{
        font-size: 18px;
        font-weight: bold;
        font-family: ui-sans-serif, system-ui, "DejaVu Sans", sans-serif;
    }}
    {styles}
    ANIMATION
    </style>
    <defs>
    <clipPath id="{unique_id}-clip-terminal">
      <rect x="0" y="0" width="{terminal_width}" height="{terminal_height}" />
    </clipPath>
    {lines}
    </defs>
    {chrome}
    <g transform="translate({terminal_x}, {terminal_y})" clip-path="url(#{unique_id}-clip-terminal)">
    {backgrounds}
    <g class="{unique_id}-matrix">
    {matrix}
    </g>
    </g>
</svg>
"""


@dataclass(frozen=True)
class Line:
    """A line as it stood at the end. at: seconds from the beginning when it was last changed."""

    text: str
    at: float

    @property
    def plain(self) -> str:
        """Without colours."""
        return _ESCAPE.sub("", self.text)


class Screen:
    """An endless roll of lines, `width` cells wide."""

    def __init__(self, width: int) -> None:
        self._width = width
        self._rows: list[list[tuple[str, str]]] = [[]]
        self._times = [0.0]
        self._row = self._column = 0
        self._style = ""
        self._rest = ""

    def feed(self, data: str, at: float) -> None:
        """What was written at a moment; a sequence may be cut between two calls."""
        data, self._rest = self._rest + data, ""
        position = 0
        while position < len(data):
            if data[position] == "\x1b":
                match = _ESCAPE.match(data, position)
                if match is None:
                    self._rest = data[position:]
                    return
                if match[2]:
                    self._control(match[1], match[2], at)
                position = match.end()
                continue
            self._character(data[position], at)
            position += 1

    def lines(self) -> list[Line]:
        """All lines, without what is empty at the end."""
        found = [
            Line(_painted([cell for cell in row if cell[0]]), at)
            for row, at in zip(self._rows, self._times, strict=True)
        ]
        while found and not found[-1].plain.strip():
            found.pop()
        return found

    def _character(self, character: str, at: float) -> None:
        if character == "\n":
            self._to(self._row + 1)
        elif character == "\r":
            self._column = 0
        elif character == "\b":
            self._column = max(0, self._column - 1)
        elif character >= " ":
            wide = 2 if unicodedata.east_asian_width(character) in "WF" else 1
            if self._column + wide > self._width:
                self._to(self._row + 1)
                self._column = 0
            row = self._rows[self._row]
            row += [(" ", "")] * (self._column + wide - len(row))
            row[self._column] = (character, self._style)
            if wide == 2:
                row[self._column + 1] = ("", "")
            self._column += wide
            self._times[self._row] = at

    def _control(self, parameters: str, final: str, at: float) -> None:
        number = int(parameters) if parameters.isdigit() else 1
        if final == "m":
            self._style = "" if parameters in ("", "0") else f"{self._style}\x1b[{parameters}m"
        elif final == "A":
            self._row = max(0, self._row - number)
        elif final == "B":
            self._to(self._row + number)
        elif final == "C":
            self._column += number
        elif final == "D":
            self._column = max(0, self._column - number)
        elif final == "G":
            self._column = number - 1
        elif final == "K":
            row = self._rows[self._row]
            kind = parameters or "0"
            kept = [] if kind == "2" else row[: self._column] if kind == "0" else row
            if kind == "1":
                kept = [(" ", "")] * min(self._column, len(row)) + row[self._column :]
            self._rows[self._row] = kept
            self._times[self._row] = at
        elif final == "J" and parameters in ("", "0"):
            self._rows[self._row] = self._rows[self._row][: self._column]
            del self._rows[self._row + 1 :], self._times[self._row + 1 :]

    def _to(self, row: int) -> None:
        self._row = row
        while len(self._rows) <= row:
            self._rows.append([])
            self._times.append(self._times[-1])


def _painted(cells: Sequence[tuple[str, str]]) -> str:
    text, style = "", ""
    for character, wanted in cells:
        if wanted != style:
            text += (_RESET if style else "") + wanted
            style = wanted
        text += character
    return (text + (_RESET if style else "")).rstrip()


def picture(lines: Sequence[Line], width: int, title: str) -> str:
    """The SVG. Moments are brought together: no pause longer than PAUSE_S."""
    console = Console(
        record=True, width=width, file=io.StringIO(), force_terminal=True, color_system="256", emoji=False
    )
    shown: dict[int, float] = {}
    played = before = 0.0
    for number, line in enumerate(lines):
        played += min(PAUSE_S, max(0.0, line.at - before))
        before = max(before, line.at)
        shown[number] = played
        console.print(Text.from_ansi(line.text), soft_wrap=True, highlight=False)
    made = console.export_svg(
        title=title,
        theme=SVG_EXPORT_THEME,
        code_format=_FORMAT.replace("ANIMATION", _animation(shown)),
        unique_id="s",
    )
    return "\n".join(line.rstrip() for line in made.splitlines()) + "\n"


def _animation(shown: dict[int, float]) -> str:
    rules = ["@keyframes appear {{ from {{ visibility: hidden; }} }}"]
    rules.append("@media (prefers-reduced-motion: no-preference) {{")
    rules += [
        f'.s-matrix [clip-path="url(#s-line-{number})"] {{{{ animation: appear 1ms {at:.2f}s backwards; }}}}'
        for number, at in shown.items()
        if at
    ]
    return "\n    ".join([*rules, "}}"])
