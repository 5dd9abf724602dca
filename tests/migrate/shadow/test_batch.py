"""The order in which a batch is done: what a worker that is killed anywhere relies on (MG6). until phase 3"""

from __future__ import annotations

from typing import Any

import pytest
from shadow_support import record

from migrate.compare.deliveries import DeliveryRow, SendRow
from migrate.config.model import Feature, Replay, Shadow
from migrate.shadow.batch import BatchHandler
from migrate.shadow.capture import Capture
from migrate.shadow.completeness import Completeness
from migrate.shadow.correlation import Causes
from migrate.shadow.intake import Taken
from migrate.shadow.lanes import Lanes
from migrate.shadow.people import Person
from migrate.shadow.presence import Presence
from migrate.shadow.replay import Outcome
from migrate.shadow.settings import BEGIN_S, RunSettings
from migrate.shadow.state import Control
from migrate.shadow.translate import Call, Cause, Translator

BEGAN = 500.0
FEATURE = Feature(
    name="chat",
    types=("sendMessage",),
    frames=("message",),
    frame_type_field="type",
    replay=Replay(method="POST", path="/api/chat/send", body={"message": "{message}"}),
)


class Seen:
    """Everything around the handler, writing down what it is asked for, in order."""

    def __init__(self) -> None:
        self.steps: list[str] = []
        self.rows: list[Any] = []
        self.known: dict[str, Person] = {}
        self.answer = Outcome(201, "", {"messageId": "m"})

    async def open(self, people: list[Person]) -> None:
        self.steps += [f"live {person.user}" for person in people]

    def end_later(self, person: Person) -> None:
        self.steps.append(f"ends {person.user}")

    async def find(self, connection_id: str) -> tuple[str, Person] | None:
        person = self.known.get(connection_id)
        return None if person is None else (connection_id, person)

    async def all(self) -> list[tuple[str, Person]]:
        return list(self.known.items())

    async def __call__(self, call: Call, cause: Cause) -> Outcome:
        self.steps.append(f"replayed {cause.request_id}")
        return self.answer

    def has_send(self, request_id: str) -> bool:
        return False

    def delivery(self, row: DeliveryRow) -> None:
        self.steps.append(f"{row.stack} to {row.recipient}")
        self.rows.append(row)

    def send(self, row: SendRow) -> None:
        self.steps.append(f"{row.replayed} {row.request_id}")
        self.rows.append(row)

    def span(self, row: object) -> None:
        self.rows.append(row)

    def flush(self) -> None:
        self.steps.append("flushed")


@pytest.fixture
def seen() -> Seen:
    return Seen()


def handler(seen: Any, feature: Feature = FEATURE) -> BatchHandler:
    translator = Translator((feature,), "demo")
    settings = RunSettings(Shadow(sample_percent=100), Control("running", "run-1", BEGAN))
    presence = Presence(translator.tenant_of, seen.span)
    completeness = Completeness(Capture(), seen)
    return BatchHandler(settings, translator, presence, seen, seen, seen, Lanes(), Causes(), completeness, seen)


def taken(**changes: Any) -> Taken:
    return Taken(record(**changes), "receipt", 0.0)


POSTED = [({"type": "message", "message": "hi"}, 1000.1, ("c-bob",), ())]


async def test_streams_are_live_then_deliveries_are_written_then_it_is_replayed(seen: Seen) -> None:
    came = taken(request_id="r-0", event_type="CONNECT", body=None, connection_id="c-bob", user="bob", number=1)
    said = taken(posts=POSTED, number=2)
    left = taken(request_id="r-2", event_type="DISCONNECT", body=None, connection_id="c-bob", user="bob", number=3)
    await handler(seen).handle([came, said, left])
    assert seen.steps == ["live bob", "live ann", "legacy to bob", "replayed r-1", "ok r-1", "ends bob", "flushed"]


async def test_a_connection_from_before_the_run_is_looked_up_and_has_a_stream(seen: Seen) -> None:
    seen.known["c-bob"] = Person("demo", "bob")
    one = handler(seen)
    await one.handle([taken(posts=POSTED)])
    assert seen.steps[:3] == ["live ann", "live bob", "legacy to bob"]
    nobody = [({"type": "message", "message": "hi"}, 1000.2, ("c-gone",), ())]
    await one.handle([taken(request_id="r-2", posts=nobody, number=2)])
    assert one.counts["unknown_connections"] == 1


async def test_a_record_that_is_done_again_is_counted_once(seen: Seen) -> None:
    one, batch = handler(seen), [taken()]
    await one.handle(batch)
    await one.handle(batch)
    assert one._completeness.captured == 1


async def test_what_entered_before_the_run_is_left_alone(seen: Seen) -> None:
    one = handler(seen)
    await one.handle([taken(at=BEGAN + BEGIN_S - 0.001)])
    assert seen.steps == ["flushed"]
    assert (one.through, one.last_at) == (None, 0.0)


async def test_what_is_not_replayed_says_why(seen: Seen) -> None:
    """A frame without a rule, one that lacks a field of it, and one that the service refuses."""
    without = Feature(name="chat", types=("sendMessage",), frames=("message",))
    await handler(seen, without).handle([taken()])
    await handler(seen).handle([taken(body={"action": "sendMessage"})])
    seen.answer = Outcome(422, "HTTP 422")
    one = handler(seen)
    await one.handle([taken(), taken(request_id="r-2", body={"action": "other"}, number=2)])
    said = [(row.replayed, row.status, row.reason) for row in seen.rows]
    assert [said[0], said[2]] == [("skipped", None, "no replay is configured"), ("failed", 422, "HTTP 422")]
    assert said[1][0] == "skipped" and said[1][2].startswith("the frame has no ")
    assert (one.counts["failed"], one.counts["other"]) == (1, 1)
