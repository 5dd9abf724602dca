"""What is to be replayed of a record: the frame that entered, as a call of the service. Pure. until phase 3"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from migrate.compare.deliveries import SendRow
from migrate.config.templates import MissingFieldError
from migrate.shadow.correlation import Causes
from migrate.shadow.people import Person
from migrate.shadow.translate import Call, Cause, Translator, frame_of, parsed
from migrate.tee.records import TeeRecord

__all__ = ["Entering", "Replay"]


@dataclass(frozen=True)
class Replay:
    """A call that is to be made because a frame entered.

    Args:
        payload: the frame as it was sent.
    """

    call: Call
    cause: Cause
    payload: str

    def row(self, status: int | None, reason: str, began: float) -> SendRow:
        """What became of it.

        Args:
            status: HTTP status, None without an answer.
            reason: why it failed, "" when it did not.
            began: epoch seconds.
        """
        return _row(self.call.feature, self.cause, self.payload, "failed" if reason else "ok", status, reason, began)


class Entering:
    """Decides over the frames that enter.

    Args:
        causes: are told what the legacy stack made of a frame.
        is_sampled: whether a user is shadowed now.
        is_done: whether what became of a frame, by its request id, is written already.
    """

    def __init__(
        self,
        translator: Translator,
        causes: Causes,
        is_sampled: Callable[[Person], bool],
        is_done: Callable[[str], bool],
    ) -> None:
        self._translator = translator
        self._causes = causes
        self._is_sampled = is_sampled
        self._is_done = is_done
        self.of_no_feature = 0

    def __call__(self, record: TeeRecord) -> Replay | SendRow | None:
        """The replay of a record's frame; or the row that says why there is none; None: nothing is to be said of it."""
        if record.event_type != "MESSAGE" or record.body is None or record.base64 or not record.user:
            return None
        frame = parsed(record.body)
        feature = self._translator.entering(frame)
        if feature is None:
            self.of_no_feature += 1
            return None
        cause = Cause(record.request_id, record.user, self._translator.tenant_of(record), record.at)
        self._causes.remember(self._translator.names(frame), cause)
        for post in record.posts:
            self._causes.remember(self._translator.names(frame_of(post)), cause)
        if self._is_done(record.request_id) or not self._is_sampled(Person(cause.tenant, cause.user)):
            return None
        if feature.replay is None:
            return _row(feature.name, cause, record.body, "skipped", None, "no replay is configured")
        try:
            call = self._translator.call(feature, frame, record)
        except MissingFieldError as error:
            return _row(feature.name, cause, record.body, "skipped", None, f"the frame has no {error}")
        return Replay(call, cause, record.body)


def _row(
    feature: str,
    cause: Cause,
    payload: str,
    result: Literal["ok", "failed", "skipped"],
    status: int | None,
    reason: str,
    began: float | None = None,
) -> SendRow:
    return SendRow(
        feature, cause.tenant, cause.user, cause.request_id, cause.at, payload, result, status, reason, began
    )
