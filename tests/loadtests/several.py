"""Several classes of the locustfile at once, each in an environment of its own: `several.py FOLDER A,B OPTION...`.

Results are FOLDER/CLASS.json; what locust would list as failures is printed. A name with Cut behind it is the class
with a network that goes away in the middle.
"""

from __future__ import annotations

import copy
import sys
from pathlib import Path

from locust.argument_parser import parse_options
from locust.env import Environment

from loadtests.locustfile import CLASSES, prepare
from loadtests.users.cuts import CutOnce
from loadtests.users.people import Person

# Slow readers have a fifth user.
USERS = {"Slow": 5}
# Of any class the same, with a network that goes away once: DirectDropInCut.
CUT = "Cut"


def class_of(name: str) -> type[Person]:
    if not name.endswith(CUT):
        return CLASSES[name]
    # They speak so often that there is something to miss.
    return type(name, (CutOnce, CLASSES[name.removesuffix(CUT)]), {"pace": 4.0})


def main() -> None:
    folder, names = Path(sys.argv[1]), sys.argv[2].split(",")
    given = parse_options([*sys.argv[3:], "--headless"])
    environments = {}
    for name in names:
        options = copy.copy(given)
        options.run_id, options.result = name.lower(), str(folder / f"{name}.json")
        users = max(options.num_users, *(count for prefix, count in USERS.items() if name.startswith(prefix)), 1)
        environments[name] = made = Environment(user_classes=[class_of(name)], parsed_options=options)
        made.create_local_runner()
        prepare(made)
        made.runner.start(users, spawn_rate=100)
    for made in environments.values():
        made.runner.greenlet.join()
    for name, made in environments.items():
        made.events.quitting.fire(environment=made)
        for error in made.runner.stats.errors.values():
            sys.stdout.write(f"{name}: {error.occurrences} {error.name} {error.error}\n")


main()
