"""The event stream format, pure: bytes in, events out. until phase 3

Follows the HTML Standard, "Parsing an event stream" and "Interpreting an event stream"
(https://html.spec.whatwg.org/multipage/server-sent-events.html#parsing-an-event-stream), line by line:
a line ends at CR, LF or CRLF (a CRLF may be split between two chunks), one leading BOM is dropped, a line
that starts with a colon is a comment, one space after the colon is dropped, unknown fields are ignored, an id
that holds a NUL is ignored, `retry` counts only if it is all ASCII digits, an event without data is not
dispatched although its id counts, and what is not ended by a blank line when the stream ends is dropped.

Written here because the parsers at hand end lines only at LF or CRLF, or hold a lone CR back until the next
chunk.
"""

from __future__ import annotations

import codecs
import re
from dataclasses import dataclass

__all__ = ["EventTooLargeError", "ParsedEvent", "SseParser"]

MAX_EVENT_CHARS = 16 * 1024 * 1024
_LINE_END = re.compile("[\r\n]")


class EventTooLargeError(ValueError):
    """One event grew beyond the limit; the stream is of no further use.

    Args:
        limit: the limit, characters.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        super().__init__(f"one event is longer than {limit} characters")


@dataclass(frozen=True, slots=True)
class ParsedEvent:
    """One dispatched event.

    Args:
        type: the `event` field, "message" when there is none.
        data: the data lines joined by LF.
        last_event_id: the id to resume after, inherited from an earlier event when this one has none.
        has_id: whether this event brought its own id (only then does the id name the event).
    """

    type: str
    data: str
    last_event_id: str
    has_id: bool


class SseParser:
    """Parses one stream; a new connection needs a new parser.

    Args:
        last_event_id: the id in force at the start (what was sent as Last-Event-ID).
        max_event_chars: the longest event, characters, lines not yet ended included.

    Attributes:
        retry_ms: the last valid `retry`, milliseconds, or None.
        last_event_id: the id of the last dispatched block; events without data count here as well.
    """

    def __init__(self, last_event_id: str = "", max_event_chars: int = MAX_EVENT_CHARS) -> None:
        self.retry_ms: int | None = None
        self.last_event_id = last_event_id
        self._id_buffer = last_event_id
        self._has_id = False
        self._data: list[str] = []
        self._data_chars = 0
        self._type = ""
        self._line: list[str] = []
        self._line_chars = 0
        self._max = max_event_chars
        self._skip_lf = False
        self._at_start = True
        # "UTF-8 decode": wrong bytes become U+FFFD, they never end a stream.
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def feed(self, chunk: bytes) -> list[ParsedEvent]:
        """Take the next bytes, in pieces of any size; return the events they complete.

        Raises: EventTooLargeError.
        """
        text = self._decoder.decode(chunk)
        if not text:
            return []
        if self._at_start:
            self._at_start = False
            text = text.removeprefix("\ufeff")
        if self._skip_lf and text:
            # The CR that ended the last chunk already ended its line.
            self._skip_lf = False
            text = text.removeprefix("\n")
        events: list[ParsedEvent] = []
        start = 0
        length = len(text)
        while start < length:
            found = _LINE_END.search(text, start)
            if found is None:
                self._keep(text[start:])
                break
            end = found.start()
            self._keep(text[start:end])
            line = "".join(self._line)
            self._line.clear()
            self._line_chars = 0
            event = self._take_line(line)
            if event is not None:
                events.append(event)
            start = end + 1
            if text[end] == "\r":
                if start < length:
                    start += text[start] == "\n"
                else:
                    self._skip_lf = True
        return events

    def _keep(self, piece: str) -> None:
        self._line.append(piece)
        self._line_chars += len(piece)
        if self._line_chars + self._data_chars > self._max:
            raise EventTooLargeError(self._max)

    def _take_line(self, line: str) -> ParsedEvent | None:
        if not line:
            return self._dispatch()
        if line[0] == ":":
            return None
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if field == "data":
            self._data.append(value)
            self._data_chars += len(value) + 1
        elif field == "event":
            self._type = value
        elif field == "id":
            if "\0" not in value:
                self._id_buffer = value
                self._has_id = True
        elif field == "retry" and value.isascii() and value.isdigit():
            # Longer numbers than this are a mistake or an attack; int() refuses 4,300 digits with an
            # exception.
            self.retry_ms = int(value[:12])
        return None

    def _dispatch(self) -> ParsedEvent | None:
        self.last_event_id = self._id_buffer
        event = None
        data = "\n".join(self._data)
        # "If the data buffer is an empty string, set the event type buffer to empty and return": one empty
        # data line leaves a buffer of one LF, which is not empty until it is stripped after this check.
        if self._data:
            event = ParsedEvent(self._type or "message", data, self.last_event_id, self._has_id)
        self._data.clear()
        self._data_chars = 0
        self._type = ""
        self._has_id = False
        return event
