"""Everything sse_service raises on purpose. Attributes first; the message is computed from them.

SseServiceError
├── SettingsError              one or more settings are wrong                          (exit 2)
├── StartupError               the service cannot start where it is                    (exit 2)
├── RequestError               the caller's request; carries the HTTP status
│   ├── InvalidInputError      400  a field is not what it must be
│   ├── UnauthorizedError      401  no token, or one that proves nothing
│   ├── ForbiddenError         403  a valid token that does not permit this
│   ├── NotFoundError          404  it is not there
│   ├── ConflictError          409  something else has that id, or is at it at this moment
│   ├── TooLargeError          413  body, event or batch above a limit
│   ├── TooManyStreamsError    429  a limit on open streams is reached
│   ├── RateLimitedError       429  too often; when to try again is in it
│   ├── BusyError              429  a limit on answers or jobs at once is reached
│   ├── ResponderFailedError   500  the application's responder failed before it said anything
│   ├── NotConfiguredError     404  the operator has not set this up
│   └── UnavailableError       503  a store is away, throttled or busy; nothing is lost by repeating
└── LogError                   answers of an event log that its caller acts upon
    ├── AppendConflictError    somebody else appended first: read forward and try again
    └── HistoryGoneError       a cursor points at events that are no longer (or never were) there

What a client sees of them is decided in one place: api/problems.py.
"""

from __future__ import annotations

from collections.abc import Sequence

__all__ = [
    "AppendConflictError",
    "BusyError",
    "ConflictError",
    "ForbiddenError",
    "HistoryGoneError",
    "InvalidInputError",
    "LogError",
    "NotConfiguredError",
    "NotFoundError",
    "RateLimitedError",
    "RequestError",
    "ResponderFailedError",
    "SettingsError",
    "SseServiceError",
    "StartupError",
    "TooLargeError",
    "TooManyStreamsError",
    "UnauthorizedError",
    "UnavailableError",
]


class SseServiceError(Exception):
    """Base of every error this package raises on purpose."""

    exit_code: int = 1
    hint: str = ""


class SettingsError(SseServiceError):
    """Settings that cannot be used; `problems` holds one line for each, naming variable and value."""

    exit_code = 2
    hint = "`sse-service default-env` prints every variable with its default and meaning"

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("; ".join(self.problems))


class StartupError(SseServiceError):
    """The service cannot start: port taken, table missing, store out of reach."""

    exit_code = 2

    def __init__(self, problem: str, hint: str = "") -> None:
        self.problem = problem
        self.hint = hint
        super().__init__(problem)


class RequestError(SseServiceError):
    """A request that is answered with an HTTP error; `detail` is safe to show to the caller."""

    status: int = 400
    title: str = "Bad Request"
    code: str = "bad_request"

    def __init__(self, detail: str, *, retry_after_s: int | None = None, **extra: str) -> None:
        self.detail = detail
        self.retry_after_s = retry_after_s
        self.extra = extra
        super().__init__(detail)


class InvalidInputError(RequestError):
    """A field of the request is missing, malformed or out of range."""

    code = "invalid_input"

    def __init__(self, field: str, problem: str) -> None:
        self.field = field
        self.problem = problem
        super().__init__(f"{field}: {problem}", field=field)


class UnauthorizedError(RequestError):
    """No usable token. `reason` is one of the words of RFC 6750, section 3.1, or "missing"."""

    status = 401
    title = "Unauthorized"
    code = "unauthorized"

    def __init__(self, detail: str, *, missing: bool = False) -> None:
        self.missing = missing
        super().__init__(detail)


class ForbiddenError(RequestError):
    """The token is valid and does not permit this."""

    status = 403
    title = "Forbidden"
    code = "forbidden"


class NotFoundError(RequestError):
    """What was asked for is not there."""

    status = 404
    title = "Not Found"
    code = "not_found"


class ConflictError(RequestError):
    """Another request has the id, or works on the same thing just now (Retry-After says when to come back)."""

    status = 409
    title = "Conflict"
    code = "conflict"


class BusyError(RequestError):
    """As many answers or jobs as a user or a node may have run at this moment."""

    status = 429
    title = "Too Many Requests"
    code = "too_much_at_once"

    def __init__(self, what: str, scope: str, limit: int, retry_after_s: int = 2) -> None:
        self.what = what
        self.scope = scope
        self.limit = limit
        super().__init__(f"no more than {limit} {what} at once per {scope}", retry_after_s=retry_after_s, scope=scope)


class ResponderFailedError(RequestError):
    """The application's responder failed. What it raised is for the log."""

    status = 500
    title = "Internal Server Error"
    code = "responder_failed"


class NotConfiguredError(RequestError):
    """The operator has not set this part of the service up."""

    status = 404
    title = "Not Found"
    code = "not_configured"


class TooLargeError(RequestError):
    """Something is larger than its limit."""

    status = 413
    title = "Content Too Large"
    code = "too_large"

    def __init__(self, what: str, limit_bytes: int) -> None:
        self.what = what
        self.limit_bytes = limit_bytes
        super().__init__(f"{what} is larger than {limit_bytes} bytes")


class TooManyStreamsError(RequestError):
    """A limit on open streams is reached; `scope` is user, address or node."""

    status = 429
    title = "Too Many Requests"
    code = "too_many_streams"

    def __init__(self, scope: str, limit: int, retry_after_s: int) -> None:
        self.scope = scope
        self.limit = limit
        super().__init__(f"no more than {limit} open streams per {scope}", retry_after_s=retry_after_s, scope=scope)


class RateLimitedError(RequestError):
    """One user does something too often."""

    status = 429
    title = "Too Many Requests"
    code = "rate_limited"

    def __init__(self, what: str, per_s: float, retry_after_s: int) -> None:
        self.what = what
        self.per_s = per_s
        super().__init__(f"no more than {per_s:g} {what} a second for a user on average", retry_after_s=retry_after_s)


class UnavailableError(RequestError):
    """A store is away, throttled or busy, or the service is going down.

    Repeating the request (with the same idempotencyKey or key, where it has one) completes what was begun.
    """

    status = 503
    title = "Service Unavailable"
    code = "unavailable"

    def __init__(self, detail: str, *, retry_after_s: int = 1, **extra: str) -> None:
        super().__init__(detail, retry_after_s=retry_after_s, **extra)


class LogError(SseServiceError):
    """An answer of an event log that its caller acts upon; never shown to a client."""


class AppendConflictError(LogError):
    """The sequence number after the writer's tail is taken."""

    def __init__(self, tenant: str, seq: int) -> None:
        self.tenant = tenant
        self.seq = seq
        super().__init__(f"log of tenant {tenant!r}: event {seq} was appended by somebody else")


class HistoryGoneError(LogError):
    """Events after the cursor cannot all be read.

    `reason`: "expired" (older than the retention), "unknown_log" (an id of another or an earlier log),
    "ahead" (an id that this log has not reached).
    """

    def __init__(self, tenant: str, reason: str) -> None:
        self.tenant = tenant
        self.reason = reason
        super().__init__(f"log of tenant {tenant!r}: cannot continue from the cursor ({reason})")
