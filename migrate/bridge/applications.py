"""What crosses the bridge in the three historical applications, as `migrate up` writes it into their `migrate.toml`.
Pure. until phase 3

A message whose receiver is not connected to the old stack is posted to nobody there: then its sender's receipt, or the
frame that entered, tells of it. The first rule with a topic and key counts, so nothing is told twice.
"""

from __future__ import annotations

from migrate.config.model import Collect, Deliver

__all__ = ["COLLECT", "DELIVER"]

_STREAM = [
    Deliver(frame="chat_stream_start", event="chat_stream_start", topic="user:{$recipient}", key="{message_id}/start"),
    Deliver(
        frame="chat_stream_chunk", event="chat_stream_chunk", topic="user:{$recipient}", key="{message_id}/{index}"
    ),
    Deliver(frame="chat_stream_end", event="chat_stream_end", topic="user:{$recipient}", key="{message_id}/end"),
]

# Application -> feature -> rules.
DELIVER: dict[str, dict[str, tuple[Deliver, ...]]] = {
    "rooms": {"chat": (Deliver(frame="message", topic="room:{roomId}"),)},
    "direct": {
        "direct": (
            Deliver(frame="message", topic="user:{receiverEmail}"),
            Deliver(
                frame="messageSent",
                topic="user:{receiverEmail}",
                data={
                    "type": "message",
                    "roomId": "{roomId}",
                    "messageId": "{messageId}",
                    "senderEmail": "{senderEmail}",
                    "receiverEmail": "{receiverEmail}",
                    "message": "{message}",
                    "timestamp": "{timestamp}",
                    "read": "{read}",
                },
            ),
            Deliver(
                frame="readDone",
                event="read",
                topic="user:{$in.with}",
                key="{roomId}/{readerEmail}/{upTo}",
                data={
                    "type": "read",
                    "roomId": "{roomId}",
                    "readerEmail": "{readerEmail}",
                    "upTo": "{upTo}",
                    "count": "{count}",
                },
            ),
        )
    },
    "layers": {
        "layers-chat": (
            Deliver(frame="chat_message", event="chat_message", topic="room:{chat_id}", key="{message_id}"),
            Deliver(
                frame="chat_response",
                event="chat_message",
                topic="room:{chat_id}",
                key="{message_id}",
                data={
                    "type": "chat_message",
                    "chat_id": "{chat_id}",
                    "message_id": "{message_id}",
                    "user_id": "{$user}",
                    "message": "{$in.message}",
                    "timestamp": "{timestamp}",
                },
            ),
            Deliver(frame="message", topic="tenant:{$tenant}", key="{message_id}"),
            Deliver(
                frame="message_sent",
                topic="tenant:{$tenant}",
                key="{message_id}",
                data={
                    "type": "message",
                    "message_id": "{message_id}",
                    "user_id": "{$user}",
                    "message": "{$in.message}",
                    # The receipt does not tell the message's own time; this one is when its frame entered.
                    "timestamp": "{$at}",
                },
            ),
            *_STREAM,
        ),
        "agent-run": (
            Deliver(
                frame="agent_run_notification",
                event="agent_run_notification",
                topic="user:{$recipient}",
                key="{run_id}/{index}",
            ),
        ),
        "library": (
            Deliver(
                frame="library_processing_notification",
                event="library_processing_notification",
                topic="tenant:{$tenant}",
                key="{job_id}/{index}",
            ),
        ),
    },
}

COLLECT: dict[str, dict[str, tuple[Collect, ...]]] = {
    "rooms": {"chat": (Collect(topic="room:*"),)},
    "direct": {
        "direct": (
            Collect(topic="room:direct:*", to="user:{receiverEmail}", private=True),
            Collect(event="message", topic="user:*", to="user:{$name}"),
        )
    },
    "layers": {
        "layers-chat": (
            Collect(event="chat_message", topic="room:*", to="tenant:{$tenant}"),
            Collect(event="message", topic="tenant:*", to="tenant:{$tenant}"),
            *(
                Collect(event=event, topic="user:*", to="user:{$name}")
                for event in ("chat_stream_start", "chat_stream_chunk", "chat_stream_end")
            ),
        ),
        "agent-run": (Collect(event="agent_run_notification", topic="user:*", to="user:{$name}"),),
        "library": (Collect(event="library_processing_notification", topic="tenant:*", to="tenant:{$tenant}"),),
    },
}
