"""Every scenario has its class on every way it is offered on, and its people go to the application it names."""

from __future__ import annotations

import json
import subprocess
import sys

from loadtests.compare.around import FUNCTIONS
from loadtests.compare.rounds import SCENARIOS, SUFFIX, app_of

# In a process of its own: locust puts gevent in the place of half the standard library.
ASK = (
    "import json; from loadtests.locustfile import CLASSES as all; "
    "print(json.dumps({name: [one.scenario, one.transport, one.app] for name, one in all.items()}))"
)


def test_all_seven_scenarios_have_a_class_on_all_three_ways_which_means_the_same() -> None:
    assert len(SCENARIOS) == 7 and set(SCENARIOS.values()) == {("ws", "sse", "dropin")}
    done = subprocess.run([sys.executable, "-c", ASK], capture_output=True, text=True, timeout=60, check=True)
    assert json.loads(done.stdout) == {
        scenario.capitalize() + SUFFIX[side]: [scenario, side, app_of(scenario)]
        for scenario, sides in SCENARIOS.items()
        for side in sides
    }
    assert {app_of(scenario) for scenario in SCENARIOS} == set(FUNCTIONS)
