"""What stays of a use when its file is moved, its code is moved within a file, or both are reformatted. Pure.

until phase 3 (WL10 phase 1)
"""

from __future__ import annotations

import hashlib

__all__ = ["fingerprint"]


def fingerprint(rule: str, code: str, symbol: str) -> str:
    """Sixteen hexadecimal digits of the rule, the normalised (redacted) code and the names around it: no path, no line.

    Equal uses have equal fingerprints; a baseline counts them.
    """
    return hashlib.sha256("\0".join((rule, code, symbol)).encode()).hexdigest()[:16]
