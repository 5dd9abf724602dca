"""Which entering frame is behind an answer or an event, by the ids that both carry. Pure. until phase 3"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable

from migrate.shadow.translate import Cause

__all__ = ["Causes"]

KEPT = 200_000


class Causes:
    """Causes by the ids (`field=value`, see Translator.names) of what they made.

    Args:
        kept: how many ids are remembered; the oldest go first.
    """

    def __init__(self, kept: int = KEPT) -> None:
        self._kept = kept
        self._by_name: OrderedDict[str, Cause] = OrderedDict()

    def remember(self, names: Iterable[str], cause: Cause) -> None:
        """Note what a frame is known by; whoever named it first is its cause."""
        for name in names:
            self._by_name.setdefault(name, cause)
        while len(self._by_name) > self._kept:
            self._by_name.popitem(last=False)

    def of(self, names: Iterable[str]) -> Cause | None:
        """The cause of something with these ids; None: not known, or not yet."""
        return next((self._by_name[name] for name in names if name in self._by_name), None)
