"""Deployments kept in a file, because the control plane keeps only their ids. Until phase 3.

AWS: "Each stage is a snapshot of the API"; "Changes to anything other than stage settings require a redeployment,
including ... Routes, Integrations, Authorizers". Source: API Gateway guide, "Deploy WebSocket APIs in API Gateway"
(apigateway-set-up-websocket-deployment.html).

File: {"version": 1, "apis": {api id: {"stages": {stage: {"deployment": id, "seen": id or null}},
"deployments": {id: definition as `api_to_json` makes it}}}}, replaced atomically.
"""

import json
import logging
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sse_service.connections.definition import ApiDefinition, api_from_json, api_to_json
from sse_service.connections.errors import DefinitionError

FILE_NAME = "gateway-deployments.json"
VERSION = 1

log = logging.getLogger(__name__)


@dataclass
class StagePointer:
    """Which deployment a stage serves."""

    deployment_id: str | None = None
    seen: str | None = None
    """The id the control plane's stage row had when last read: when it changes there, it wins."""


@dataclass
class ApiSnapshots:
    """Deployments and stage pointers of one API."""

    stages: dict[str, StagePointer] = field(default_factory=dict)
    deployments: dict[str, ApiDefinition] = field(default_factory=dict)


class SnapshotStore:
    """All snapshots of this gateway, in memory and in one file."""

    def __init__(self, state_dir: Path) -> None:
        self.path = state_dir / FILE_NAME
        self.apis: dict[str, ApiSnapshots] = {}
        self._written = ""

    def load(self) -> None:
        """Read the file; a missing one is an empty store, a damaged one is set aside and reported."""
        try:
            text = self.path.read_text(encoding="utf-8")
        except FileNotFoundError:
            return
        try:
            self.apis = _decode(json.loads(text))
        except (ValueError, KeyError, TypeError, AttributeError, DefinitionError) as error:
            aside = self.path.with_suffix(".damaged.json")
            self.path.replace(aside)
            log.warning("deployments could not be read and were set aside as %s: %s", aside.name, error)

    def save(self) -> None:
        """Write the file if anything changed (blocking)."""
        text = json.dumps(_encode(self.apis), sort_keys=True)
        if text == self._written:
            return
        self.path.parent.mkdir(parents=True, exist_ok=True)
        partial = self.path.with_suffix(".partial")
        partial.write_text(text, encoding="utf-8")
        partial.replace(self.path)
        self._written = text


def _encode(apis: dict[str, ApiSnapshots]) -> dict[str, Any]:
    return {
        "version": VERSION,
        "apis": {
            api_id: {
                "stages": {
                    name: {"deployment": pointer.deployment_id, "seen": pointer.seen}
                    for name, pointer in snapshots.stages.items()
                },
                "deployments": {key: api_to_json(api) for key, api in snapshots.deployments.items()},
            }
            for api_id, snapshots in apis.items()
        },
    }


def _decode(raw: dict[str, Any]) -> dict[str, ApiSnapshots]:
    if raw["version"] != VERSION:
        raise ValueError(f"version {raw['version']} is not {VERSION}")
    return {
        api_id: ApiSnapshots(
            stages={
                name: StagePointer(pointer["deployment"], pointer["seen"]) for name, pointer in item["stages"].items()
            },
            deployments={key: api_from_json(api) for key, api in item["deployments"].items()},
        )
        for api_id, item in raw["apis"].items()
    }
