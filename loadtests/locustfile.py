"""Every scenario on every transport, for locust:

    locust -f loadtests/locustfile.py RoomsSse                    # web interface, against `migrate up`
    locust -f loadtests/locustfile.py RoomsWs --headless -u 50 -r 50 --seconds 20

Names are scenario and transport: Rooms, Direct, Tenant, Answers, Idle, Storm, Slow; Ws, Sse, DropIn. See
docs/guides/load.md.
"""

from __future__ import annotations

from typing import Any

from locust import events

from loadtests.users.conversations import Answers, Direct, Tenant
from loadtests.users.people import Person
from loadtests.users.rooms import Idle, Rooms, SlowReaders, Storm
from loadtests.users.run import Run


class RoomsWs(Rooms):
    transport = "ws"


class RoomsSse(Rooms):
    transport = "sse"


class RoomsDropIn(Rooms):
    transport = "dropin"


class IdleWs(Idle):
    transport = "ws"


class IdleSse(Idle):
    transport = "sse"


class IdleDropIn(Idle):
    transport = "dropin"


class StormWs(Storm):
    transport = "ws"


class StormSse(Storm):
    transport = "sse"


class StormDropIn(Storm):
    transport = "dropin"


class SlowWs(SlowReaders):
    transport = "ws"


class SlowSse(SlowReaders):
    transport = "sse"


class SlowDropIn(SlowReaders):
    transport = "dropin"


class DirectWs(Direct):
    transport = "ws"


class DirectSse(Direct):
    transport = "sse"


class TenantWs(Tenant):
    transport = "ws"


class TenantSse(Tenant):
    transport = "sse"


class AnswersWs(Answers):
    transport = "ws"


class AnswersSse(Answers):
    transport = "sse"


CLASSES: dict[str, type[Person]] = {
    name: value
    for name, value in list(globals().items())
    if isinstance(value, type)
    and issubclass(value, Person)
    and value is not Person
    and not value.__dict__.get("abstract")
}


def _options(parser: Any) -> None:
    # Locust's own defaults are all interfaces.
    parser.set_defaults(web_host="127.0.0.1", master_bind_host="127.0.0.1")
    group = parser.add_argument_group("load of both stacks")
    group.add_argument("--state-dir", default=".migrate", help="of `migrate up`")
    group.add_argument("--target-file", default="", help="addresses of other stacks, as JSON (see docs/guides/load.md)")
    group.add_argument("--rate", type=float, default=0.5, help="messages a second of each user who says something")
    group.add_argument("--seconds", type=float, default=0, help="how long messages are sent; 0: until stopped")
    group.add_argument("--size", type=int, default=100, help="bytes of a message at least")
    group.add_argument("--lost-after", type=float, default=15, help="seconds after which a message counts as lost")
    group.add_argument("--result", default="", help="a file for the result, as JSON")
    group.add_argument("--run-id", default="", help="must be the same for all workers")


def _init(environment: Any, **_: Any) -> None:
    environment.loadtest = run = Run(environment)
    run.start()
    environment.events.quitting.add_listener(lambda **_: run.write())


def _listen() -> None:
    hooks: Any = events
    hooks.init_command_line_parser.add_listener(_options)
    hooks.init.add_listener(_init)


_listen()
