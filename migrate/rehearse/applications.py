"""How people talk in the three legacy applications, over either stack. until phase 3

What is heard is a text that no other message has. Who is to hear it is what the application promises on both stacks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

__all__ = ["APPLICATIONS", "ROOM", "Application", "Utterance"]

ROOM = "c1"
"""The open conversation in which the layers application's people chat."""


@dataclass(frozen=True, slots=True)
class Utterance:
    """One thing to say: as a frame, as a call of the REST API, and who has to hear which texts.

    Args:
        scopes: of the token for the call.
    """

    frame: Mapping[str, Any]
    path: str
    body: Mapping[str, Any]
    texts: Mapping[str, frozenset[str]]
    scopes: tuple[str, ...] = ()
    method: str = "POST"


class Application(Protocol):
    """One application's way of talking."""

    features: tuple[str, ...]

    def user(self, name: str) -> str:
        """The user's id of a person."""

    def utter(self, speaker: str, number: int, people: Sequence[str]) -> Utterance:
        """What somebody says for the nth time."""

    def kind(self, frame: Mapping[str, Any]) -> str:
        """The type of a frame that came."""

    def says_go(self, frame: Mapping[str, Any]) -> bool:
        """Whether it is the drain's frame."""

    def hear(self, listener: str, kind: str, data: Mapping[str, Any]) -> str | None:
        """The text of what came (frame or event), None: it is not one of these messages."""


class _Shipped:
    """What the three have in common."""

    def kind(self, frame: Mapping[str, Any]) -> str:
        return str(frame.get("type", ""))

    def says_go(self, frame: Mapping[str, Any]) -> bool:
        return frame.get("type") == "server_moving"


class Rooms(_Shipped):
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


class Direct(_Shipped):
    """One speaks to one other, in turn to everybody."""

    features: tuple[str, ...] = ("direct",)

    def user(self, name: str) -> str:
        return f"{name}@example.com"

    def utter(self, speaker: str, number: int, people: Sequence[str]) -> Utterance:
        others = [one for one in people if one != speaker]
        other = others[number % len(others)]
        text = f"{speaker} #{number} — 안녕하세요"
        return Utterance(
            {"action": "sendMessage", "receiverEmail": self.user(other), "message": text},
            "/api/chat/send",
            {"with": self.user(other), "message": text, "idempotencyKey": f"{speaker}-{number}"},
            {text: frozenset({other})},
        )

    def hear(self, listener: str, kind: str, data: Mapping[str, Any]) -> str | None:
        # The service shows a message on its sender's own streams as well; the old stack does not.
        if kind != "message" or data.get("receiverEmail") != self.user(listener):
            return None
        return str(data.get("message"))


class Layers(_Shipped):
    """Chat with an answer, agent runs, library jobs: what is said, and how what is answered begins and ends."""

    features: tuple[str, ...] = ("layers-chat", "agent-run", "library")

    def user(self, name: str) -> str:
        return name

    def utter(self, speaker: str, number: int, people: Sequence[str]) -> Utterance:
        name = f"{speaker}-{number}"
        everybody, speaks = frozenset(people), frozenset({speaker})
        if number % 5 == 3:
            run: dict[str, Any] = {"agent_id": "a1", "input": {"text": "run"}, "run_id": name}
            texts = {f"agent {name} begins": speaks, f"agent {name} ends": speaks}
            return Utterance({"type": "agent_run", **run}, "/api/agent-runs", run, texts)
        if number % 5 == 4:
            job: dict[str, Any] = {"library_id": "l1", "documents": ["one", "two"], "job_id": name}
            texts = {f"library {name} begins": everybody, f"library {name} ends": everybody}
            return Utterance({"type": "library_process", **job}, "/api/library-jobs", job, texts)
        text = f"{speaker} #{number} — 一二三"
        chat: dict[str, Any] = {"chat_id": ROOM, "message": text, "message_id": name}
        return Utterance(
            {"type": "chat", **chat},
            "/api/chat/message",
            {**chat, "idempotencyKey": name},
            {text: everybody - speaks, f"answer to {name}": speaks},
        )

    def hear(self, listener: str, kind: str, data: Mapping[str, Any]) -> str | None:
        if kind == "chat_message":
            return str(data.get("message")) if data.get("user_id") != listener else None
        if kind == "chat_stream_end":
            return f"answer to {data.get('message_id')}"
        for found, name, key in (
            ("agent_run_notification", "agent", "run_id"),
            ("library_processing_notification", "library", "job_id"),
        ):
            if kind == found and data.get("index") == 0:
                return f"{name} {data.get(key)} begins"
            if kind == found and data.get("status") == "completed":
                return f"{name} {data.get(key)} ends"
        return None


APPLICATIONS: dict[str, Application] = {"rooms": Rooms(), "direct": Direct(), "layers": Layers()}
