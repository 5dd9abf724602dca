"""The mark in the text of each message: who sent it, as which, and when. Pure.

The time is the monotonic clock of the host (CLOCK_MONOTONIC is the same for all processes of a machine and never
steps), so sender and receiver may be in different processes, but not on different machines.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Mark", "decode", "encode", "key_of"]

PREFIX = "lt1"
_SEPARATOR = "|"


@dataclass(frozen=True, slots=True)
class Mark:
    """run: of which run. sender, seq: which message, from 0. sent_ns: when, by the monotonic clock."""

    run: str
    sender: str
    seq: int
    sent_ns: int


def encode(mark: Mark, size: int = 0) -> str:
    """The text of a message, filled up to `size` bytes."""
    text = _SEPARATOR.join((PREFIX, mark.run, mark.sender, str(mark.seq), str(mark.sent_ns), ""))
    return text + "." * (size - len(text))


def decode(text: object) -> Mark | None:
    """The mark in a text; None for texts of others."""
    if not isinstance(text, str) or not text.startswith(PREFIX + _SEPARATOR):
        return None
    parts = text.split(_SEPARATOR, 5)
    if len(parts) < 5 or not (parts[3].isdigit() and parts[4].isdigit()):
        return None
    return Mark(parts[1], parts[2], int(parts[3]), int(parts[4]))


def key_of(text: str) -> str:
    """The same for each repetition of one message, and of none other."""
    return ".".join(text.split(_SEPARATOR, 5)[1:5])
