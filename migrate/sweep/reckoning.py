"""What a process that ended in the middle of a page had deleted of it. Pure. until phase 3 (MG11)

Before a page is deleted, short digests of what is to go are kept with the checkpoint. Who goes on reads the page again:
what is not there any more had been deleted. A page may have grown by new rows meanwhile, which push old ones into the
next; so two pages are looked at before anything is called gone.
"""

from __future__ import annotations

import base64
import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence

from migrate.tables.dynamojson import canonical
from migrate.tables.rows import Item

__all__ = ["MOST", "Reckoning"]

BYTES = 8
MOST = 10_000
"""Digests that are kept at most: 107 KB of the 400 KB that an item may have (DynamoDB, "Service quotas")."""
PAGES = 2


class Reckoning:
    """Of one segment.

    Args:
        under_way: what `begin` or `kept` gave last, before the process ended.
        whole: whether rows go as a whole; otherwise connections inside them.
    """

    def __init__(self, under_way: str = "", *, whole: bool) -> None:
        packed = base64.b64decode(under_way)
        self._under_way = {packed[at : at + BYTES] for at in range(0, len(packed), BYTES)}
        self._whole = whole
        self._pages = 0

    def marks(self, named: Iterable[tuple[Item, Sequence[str]]]) -> set[bytes]:
        """Digests of keys, or of keys with each connection.

        Args:
            named: keys in DynamoDB's JSON, and the connections in each.
        """
        return {
            hashlib.blake2b(canonical(key) + b"\0" + one.encode("utf-8", "surrogatepass"), digest_size=BYTES).digest()
            for key, connections in named
            for one in ([""] if self._whole else connections)
        }

    def deleted_before(self, here: set[bytes], *, last: bool) -> Counter[str]:
        """What of it is gone, to be counted once.

        Args:
            here: marks of the page that was read.
            last: there is no page behind it.
        """
        self._under_way -= here
        self._pages += 1
        if not self._under_way or not (last or self._pages >= PAGES):
            return Counter()
        gone = len(self._under_way)
        self._under_way = set()
        counts = dict.fromkeys(("connections", "gone", "exported", "deleted"), gone)
        return Counter(counts | ({"rows": gone} if self._whole else {}))

    def begin(self, named: Iterable[tuple[Item, Sequence[str]]]) -> str:
        """What to keep before these go. Of more than `MOST` nothing is kept: such a page is not counted again."""
        marks = self._under_way | self.marks(named)
        return _packed(marks) if len(marks) <= MOST else ""

    def kept(self) -> str:
        """What to keep when the page is done."""
        return _packed(self._under_way)


def _packed(marks: set[bytes]) -> str:
    return base64.b64encode(b"".join(sorted(marks))).decode("ascii")
