"""The journal: who did what, when, with which outcome. until phase 3 (MG15)

An action is written before it begins (outcome `started`) and again when it ends; one that stays `started` was cut off.
What the journal cannot be told does not happen: without the table, the action fails before it has changed anything.
"""

from __future__ import annotations

import contextlib
import getpass
import hashlib
import json
import os
import re
import secrets
import socket
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from migrate.control.table import ControlTable
from migrate.errors import ExitCode, MigrateError

__all__ = ["Entry", "Journal", "actor", "digest", "without_secrets"]

# Names of arguments whose values never leave this machine.
_SECRET = re.compile(r"secret|token|password|authorization|credential|private|api_?key", re.IGNORECASE)
_KEPT = 4000
# How many months without an entry end a search: a migration that rested is still found.
_EMPTY_MONTHS = 24


def actor() -> str:
    """Who acts: $MIGRATE_ACTOR, else the user and machine of this process."""
    named = os.environ.get("MIGRATE_ACTOR", "").strip()
    if named:
        return named[:200]
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = f"uid{os.getuid()}"
    return f"{user}@{socket.gethostname()}"[:200]


def digest(value: object) -> str:
    """sha256 of the value's canonical JSON."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


@dataclass
class Entry:
    """One action.

    Attributes:
        outcome: started, done, refused, failed or interrupted.
        facts: what is worth keeping about what happened.
    """

    id: str
    action: str
    arguments: Mapping[str, Any]
    actor: str
    host: str
    started_at: str
    digest: str
    outcome: str = "started"
    ended_at: str = ""
    facts: dict[str, Any] = field(default_factory=dict)

    def note(self, **facts: Any) -> None:
        """Add facts; written when the action ends."""
        self.facts.update(facts)


class Journal:
    """Entries of one migration.

    Args:
        table: of the shared state.
        clock: the time, aware and in UTC.
    """

    def __init__(self, table: ControlTable, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._table = table
        self._clock = clock

    @contextlib.contextmanager
    def record(
        self, action: str, arguments: Mapping[str, Any] | None = None, *, who: str | None = None
    ) -> Iterator[Entry]:
        """Record what happens inside the block: `done`, or what it was ended by, which is raised on.

        Args:
            action: the command, e.g. `cutover`.
            arguments: what it was told; values named like secrets are left out.
        """
        redacted = without_secrets(arguments or {})
        now = self._clock()
        entry = Entry(
            id=f"{_text(now)}#{secrets.token_hex(4)}",
            action=action,
            arguments=redacted,
            actor=who or actor(),
            host=socket.gethostname(),
            started_at=_text(now),
            digest=digest({"action": action, "arguments": redacted}),
        )
        self._write(entry)
        try:
            yield entry
        except BaseException as error:
            entry.outcome, said = _outcome_of(error)
            if said:
                entry.facts["error"] = said
            entry.ended_at = _text(self._clock())
            # The action's own error is what counts.
            with contextlib.suppress(MigrateError):
                self._write(entry)
            raise
        if entry.outcome == "started":
            entry.outcome = "done"
        entry.ended_at = _text(self._clock())
        self._write(entry)

    def entries(self, since: datetime | None = None, limit: int | None = None) -> Iterator[Entry]:
        """Newest first; of this project, where several share the table."""
        first = _text(since) if since else ""
        given = empty = 0
        month = self._clock().replace(day=1)
        while empty < _EMPTY_MONTHS and (not since or _month(month) >= _month(since)):
            empty += 1
            for item in self._table.query(f"journal#{_month(month)}", since=first, newest_first=True):
                empty = 0
                if limit is not None and given >= limit:
                    return
                if not self._table.is_ours(item):
                    continue
                given += 1
                yield _entry(item)
            month = (month - timedelta(days=1)).replace(day=1)

    def _write(self, entry: Entry) -> None:
        self._table.put(
            {
                "pk": f"journal#{entry.started_at[:7]}",
                "sk": entry.id,
                "action": entry.action,
                "arguments": dict(entry.arguments),
                "actor": entry.actor,
                "host": entry.host,
                "digest": entry.digest,
                "outcome": entry.outcome,
                "started_at": entry.started_at,
                "ended_at": entry.ended_at,
                "facts": without_secrets(entry.facts),
                "project": self._table.project or None,
            }
        )


def _entry(item: Mapping[str, Any]) -> Entry:
    return Entry(
        id=item["sk"],
        action=item["action"],
        arguments=item["arguments"],
        actor=item["actor"],
        host=item["host"],
        started_at=item["started_at"],
        digest=item["digest"],
        outcome=item["outcome"],
        ended_at=item["ended_at"],
        facts=item["facts"],
    )


def _outcome_of(error: BaseException) -> tuple[str, str]:
    if isinstance(error, MigrateError):
        return error.outcome, error.message
    if isinstance(error, KeyboardInterrupt | SystemExit | GeneratorExit):
        return "interrupted", ""
    # A command that ends by its exit code has said why itself.
    code = getattr(error, "exit_code", None)
    if isinstance(code, int):
        return ("done", "") if code == ExitCode.OK else ("failed", f"exit code {code}")
    # The text of a foreign error may hold anything.
    return "failed", type(error).__name__


def without_secrets(value: Any) -> Any:
    """As JSON takes it, without the texts whose names say that they are secret."""
    if isinstance(value, Mapping):
        return {
            str(key): _hidden(one) if _SECRET.search(str(key)) else without_secrets(one) for key, one in value.items()
        }
    if isinstance(value, list | tuple | set | frozenset):
        return [without_secrets(one) for one in value]
    if value is None or isinstance(value, bool | int | float):
        return value
    text = str(value)
    return text if len(text) <= _KEPT else f"{text[:_KEPT]}... ({len(text)} characters)"


def _hidden(value: Any) -> Any:
    """Without any text in it: a secret may be one of a list, or have parts. Counts ("tokens": 3) are no secrets."""
    if isinstance(value, Mapping):
        return {str(key): _hidden(one) for key, one in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_hidden(one) for one in value]
    if value is None or value == "" or isinstance(value, bool | int | float):
        return value
    return "***"


def _text(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def _month(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m")
