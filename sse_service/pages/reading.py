"""Events out of the bytes of our own stream, whose frames are `name: value` lines that end in LF. Pure."""

from __future__ import annotations

__all__ = ["FrameReader"]


class FrameReader:
    def __init__(self) -> None:
        self._rest = b""
        self._fields: dict[str, str] = {}

    def feed(self, chunk: bytes) -> list[tuple[str, str, str]]:
        """(type, data, id or "") of every event that `chunk` completes."""
        found = []
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        for raw in lines:
            line = raw.decode()
            if line and not line.startswith(":"):
                name, _, value = line.partition(": ")
                # Several lines of data are one text with line feeds (HTML standard, 9.2.6).
                more = name == "data" and name in self._fields
                self._fields[name] = f"{self._fields[name]}\n{value}" if more else value
            elif not line:
                if "data" in self._fields:
                    kind = self._fields.get("event", "message")
                    found.append((kind, self._fields["data"], self._fields.get("id", "")))
                self._fields = {}
        return found
