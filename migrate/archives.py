"""What `zipfile` raises of an archive that is one and cannot be unpacked. Pure. until phase 3"""

from __future__ import annotations

import zlib

__all__ = ["CANNOT_UNPACK"]

CANNOT_UNPACK = (zlib.error, EOFError, RuntimeError, UnicodeError)
"""Damaged contents (zlib.error, EOFError), a password or a compression that Lambda does not take either (RuntimeError:
Python library reference, `ZipFile.open`), names in no
encoding (UnicodeError). No zip at all is `zipfile.BadZipFile`."""
