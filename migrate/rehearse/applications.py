"""How people talk in the three legacy applications, over either stack. until phase 3

What is heard is a text that no other message has. Who is to hear it is what the application promises on both stacks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

__all__ = ["APPLICATIONS", "Application", "Utterance"]


@dataclass(frozen=True, slots=True)
class Utterance:
    """One thing to say: as a frame, as a call of the REST API, and who has to hear which texts."""

    frame: Mapping[str, Any]
    path: str
    body: Mapping[str, Any]
    texts: Mapping[str, frozenset[str]]


class Application(Protocol):
    """One application's way of talking."""

    features: tuple[str, ...]

    def user(self, name: str) -> str:
        """The user's id of a person."""

    def utter(self, speaker: str, number: int, people: Sequence[str]) -> Utterance:
        """What somebody says for the nth time."""

    def hear(self, listener: str, kind: str, data: Mapping[str, Any]) -> str | None:
        """The text of what came (frame or event), None: it is not one of these messages."""


class Rooms:
    """Everybody in the room hears everything, the speaker too."""

    features: tuple[str, ...] = ("chat",)

    def user(self, name: str) -> str:
        return name

    def utter(self, speaker: str, number: int, people: Sequence[str]) -> Utterance:
        text = f"{speaker} #{number} — こんにちは"
        key = f"{speaker}-{number}"
        return Utterance(
            {"action": "sendMessage", "roomId": "main", "userName": speaker, "message": text},
            "/api/chat/send",
            {"conversationId": "main", "userName": speaker, "message": text, "idempotencyKey": key},
            {text: frozenset(people)},
        )

    def hear(self, listener: str, kind: str, data: Mapping[str, Any]) -> str | None:  # noqa: ARG002
        return str(data["message"]) if kind == "message" and "message" in data else None


APPLICATIONS: dict[str, Application] = {"rooms": Rooms()}
