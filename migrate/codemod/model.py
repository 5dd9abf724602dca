"""What a rewrite did to a file. until phase 3"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from migrate.codemod.edits import Edit
from migrate.scan.model import Target

__all__ = ["Change", "Options", "Rewrite"]


@dataclass(frozen=True, slots=True)
class Options:
    """What to rewrite to.

    Attributes:
        to: dropin or eventsource.
        assume_ours: a connection whose address cannot be traced goes to this stack.
        module: esm or cjs for plain scripts of which nothing tells it.
        stream_url, send_url: of the service, for eventsource.
    """

    to: str
    assume_ours: bool
    module: str | None
    stream_url: str
    send_url: str

    def doubt(self, target: Target | None) -> str | None:
        """Why a connection is not known to go to this stack; None: it does, or is taken to."""
        if target is Target.ANOTHER_API:
            # Its address is known, so that nothing has to be assumed of it.
            return "an API of another id; if it is this stack's too (an older or a staging one), say so with --api-id"
        if target is Target.THIS or self.assume_ours:
            return None
        return "whose address this is cannot be seen; say it with --host or --env, or use --assume-ours"


@dataclass(frozen=True, slots=True)
class Change:
    """One thing done, at an offset of the old text: rewritten, marked (reconnect logic) or hint (left to a person)."""

    kind: str
    offset: int
    what: str


@dataclass(slots=True)
class Rewrite:
    """Edits of a file and what they mean."""

    edits: list[Edit] = field(default_factory=list)
    changes: list[Change] = field(default_factory=list)

    def did(self, kind: str, offset: int, what: str, edits: Iterable[Edit | None] = ()) -> None:
        """Note one change with its edits."""
        self.edits += [edit for edit in edits if edit is not None]
        self.changes.append(Change(kind, offset, what))

    def merge(self, other: Rewrite) -> None:
        """Take in another part of the same file."""
        self.edits += other.edits
        self.changes += other.changes
