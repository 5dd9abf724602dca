"""Bytes to text and back without changing a byte that nobody edits. Pure. until phase 3"""

from __future__ import annotations

import codecs
import re
from bisect import bisect_right
from dataclasses import dataclass

__all__ = ["Lines", "NotTextError", "Source", "decode"]

_BOMS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))
_BREAK = re.compile(r"\r\n|\n|\r")


class NotTextError(ValueError):
    """The bytes are no text."""


@dataclass(frozen=True, slots=True)
class Source:
    """A decoded file.

    Attributes:
        text: without the byte order mark; line ends as they are.
        encoding: utf-8, utf-16-le, utf-16-be, or latin-1 for anything else that ASCII is a part of
            (Shift_JIS, EUC-KR...): every byte survives, and what we look for is ASCII.
    """

    text: str
    encoding: str
    bom: bytes

    def encode(self, text: str) -> bytes:
        """The bytes of an edited text."""
        return self.bom + text.encode(self.encoding)


def decode(data: bytes) -> Source:
    """Decode a file.

    Raises: NotTextError: binary, or UTF-16 that is none.
    """
    for bom, encoding in _BOMS:
        if data.startswith(bom):
            try:
                return Source(data[len(bom) :].decode(encoding), encoding, bom)
            except UnicodeDecodeError as error:
                raise NotTextError(f"not {encoding}, although it starts with its byte order mark") from error
    if b"\0" in data[:8192]:
        raise NotTextError("it holds NUL bytes")
    try:
        return Source(data.decode("utf-8"), "utf-8", b"")
    except UnicodeDecodeError:
        return Source(data.decode("latin-1"), "latin-1", b"")


class Lines:
    """Line and column of an offset. Line ends are LF, CRLF and CR."""

    def __init__(self, text: str) -> None:
        self._starts = [0, *(match.end() for match in _BREAK.finditer(text))]

    def position(self, offset: int) -> tuple[int, int]:
        """Line and column, both from 1."""
        line = bisect_right(self._starts, offset)
        return line, offset - self._starts[line - 1] + 1

    def start(self, line: int) -> int:
        """Offset at which a line (from 1) starts."""
        return self._starts[line - 1]
