"""Whether the bridge between both stacks is at work, from where `migrate bridge status` reads it. until phase 3"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psutil

from migrate.config import Config
from migrate.dashboard.model import Finding
from migrate.up.bridge_state import bridge_view
from migrate.up.state import STACK, StateDir

__all__ = ["Bridge"]

_WHY = {
    "held": "stopped by `migrate bridge stop`: what people send waits, and `migrate bridge start` delivers it",
    "starting": "not at work: it has not started yet, or is started again",
    "ended": "ended: `migrate bridge run` starts it again",
    "down": "the stacks of `migrate up` are down",
}


class Bridge:
    """The bridge of `migrate up`, or of a `migrate bridge run` on this machine with the same state directory.

    The section: {state: running | held | starting | ended | down | absent, since, to_sse, to_legacy, problem}.
    """

    def __init__(self, config: Config, state_dir: Path) -> None:
        self._state = StateDir(state_dir)
        self._config = config

    def look(self) -> Finding:
        if self._config.path.resolve() == (self._state.configs / f"{STACK}.toml").resolve():
            is_up = self._state.holder() is not None
            return _found(bridge_view(self._state) if is_up else {"state": "down"})
        place = self._state.path / f"bridge-{self._config.project.name}.json"
        try:
            counters = json.loads(place.read_text(encoding="utf-8"))
        except (FileNotFoundError, ValueError):
            return Finding({"bridge": {"state": "absent"}}, state="absent", why=f"no bridge wrote {place.name} here")
        is_alive = psutil.pid_exists(int(counters.get("pid", -1)))
        known = "ended" if not is_alive else "running" if counters.get("live") else "starting"
        since = counters.get("written_at" if known == "ended" else "started_at")
        return _found({**counters, "state": known, "since": since})


def _found(view: Mapping[str, Any]) -> Finding:
    known = str(view["state"])
    problem = "; ".join(filter(None, (view.get("problem_to_sse"), view.get("problem_to_legacy"))))
    row = {name: view.get(name) for name in ("state", "since", "to_sse", "to_legacy")}
    crossed = f"crossed: {view.get('to_sse', 0)} to SSE, {view.get('to_legacy', 0)} to WebSocket"
    why = _WHY.get(known, "; ".join(filter(None, (problem, crossed))))
    return Finding({"bridge": {**row, "problem": problem}}, state="away" if known in _WHY else "ok", why=why)
