"""Every scenario on every transport, for locust:

    locust -f loadtests/locustfile.py RoomsSse                    # web interface, against `migrate up`
    locust -f loadtests/locustfile.py RoomsWs --headless -u 50 -r 50 --seconds 20

Names are scenario and transport: Rooms, Direct, Tenant, Answers, Idle, Storm, Slow; Ws, Sse, DropIn. See
docs/guides/load.md.
"""

from __future__ import annotations

import sys
from typing import Any, NoReturn

from locust import events

from loadtests.users import defaults
from loadtests.users.conversations import Answers, Direct, Tenant
from loadtests.users.people import Person
from loadtests.users.rooms import Idle, Rooms, SlowReaders, Storm
from loadtests.users.run import Run
from loadtests.users.target import TargetError


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


class DirectDropIn(Direct):
    transport = "dropin"


class TenantWs(Tenant):
    transport = "ws"


class TenantSse(Tenant):
    transport = "sse"


class TenantDropIn(Tenant):
    transport = "dropin"


class AnswersWs(Answers):
    transport = "ws"


class AnswersSse(Answers):
    transport = "sse"


class AnswersDropIn(Answers):
    transport = "dropin"


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
    # Of one that is misspelt, nothing begins.
    parser.allow_abbrev = False

    def add(name: str, default: object, text: str, *, shown: bool) -> None:
        # Types of defaults are what the form of the web interface keeps to; it does not show groups of arguments.
        parser.add_argument(name, type=type(default), default=default, help=text, include_in_web_ui=shown)

    add("--rate", defaults.RATE, defaults.HELP["rate"], shown=True)
    add("--seconds", 0.0, "how long messages are sent; 0: until stopped", shown=True)
    add("--size", defaults.SIZE, defaults.HELP["size"], shown=True)
    add("--lost-after", defaults.LOST_AFTER_S, defaults.HELP["lost-after"], shown=True)
    add("--warm-up", defaults.WARM_UP_S, defaults.HELP["warm-up"], shown=True)
    add("--state-dir", defaults.STATE_DIR, defaults.HELP["state-dir"], shown=False)
    add("--target-file", "", "addresses of other stacks, as JSON (see docs/guides/load.md)", shown=False)
    add("--result", "", "a file for the result, as JSON", shown=False)
    add("--deliveries", "", "a file for each delivery: when it was sent, and how long it took, both ns", shown=False)
    add("--run-id", "", "part of the names of rooms and messages; otherwise of the time", shown=False)


def prepare(environment: Any, **_: Any) -> None:
    """What locust calls once it has its runner; exits with 2 and a hint for what cannot be run."""
    options = environment.parsed_options
    if len(environment.user_classes) != 1 and not (options.class_picker or options.worker):
        _refuse("one class at a time: scenarios disturb each other", f"name one of {' '.join(CLASSES)}")
    if options.rate <= 0 or options.seconds < 0 or options.lost_after <= 0 or options.warm_up < 0:
        _refuse("--rate and --lost-after are above 0, --seconds and --warm-up not below", "locust --help")
    try:
        environment.loadtest = run = Run(environment)
        for one in environment.user_classes if len(environment.user_classes) == 1 and not options.worker else ():
            run.target.way(one.transport, one.app)
    except TargetError as error:
        _refuse(str(error), error.hint)
    run.start()
    environment.events.quitting.add_listener(lambda **_: run.write())


def _refuse(problem: str, hint: str) -> NoReturn:
    sys.stderr.write(f"error: {problem}\nhint: {hint}\n")
    sys.exit(2)


def _listen() -> None:
    hooks: Any = events
    hooks.init_command_line_parser.add_listener(_options)
    hooks.init.add_listener(prepare)


_listen()
