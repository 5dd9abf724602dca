"""Nothing of the machine that made a picture gets into it: addresses, names and paths become those of a tale. Pure.
until phase 3
"""

from __future__ import annotations

import re
from collections.abc import Mapping

__all__ = ["Disguise", "LeftoverError"]

HOME = "~/ws2sse"
PORTS = ("36555", "38021", "38022", "42017", "40113", "43301", "43302", "43303", "43304", "43305")
IDS = ("1f0c9b7a", "77ab01c2", "90ce33f1")
_PID = re.compile(r"\b(pid|worker) \d+")


class LeftoverError(Exception):
    """Something of this machine was left in a picture."""


class Disguise:
    """Replaces what is this machine's by what could be anybody's, of the same length where it stands in tables.

    Args:
        names: what is replaced, by what; longer names are looked for first.
        secret: what must not be in a picture afterwards, besides all of `names`.
    """

    def __init__(self, names: Mapping[str, str], secret: tuple[str, ...] = ()) -> None:
        self._names = {name: other for name, other in names.items() if name and name != other}
        self._secret = tuple(one for one in secret if len(one) > 2)
        ordered = sorted(self._names, key=len, reverse=True)
        # Whole words: a user called `a` is in many words.
        self._pattern = re.compile("|".join(rf"(?<![A-Za-z0-9]){re.escape(name)}(?![A-Za-z0-9])" for name in ordered))

    def __call__(self, text: str) -> str:
        """The text in its disguise. Raises: LeftoverError."""
        text = self._pattern.sub(lambda match: self._names[match[0]], text) if self._names else text
        text = _PID.sub(r"\1 4711", text)
        left = [one for one in self._secret if one in text]
        if left:
            raise LeftoverError(f"left in a picture: {', '.join(left)}")
        return text

    @property
    def names(self) -> Mapping[str, str]:
        """For pages, whose text is replaced in the browser."""
        return self._names
