"""The descriptions that `migrate up` writes for its applications. until phase 3"""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from legacy_ws.deploy.apps import APPS
from migrate.config import load_config
from migrate.phases.names import archive_path
from migrate.up.configs import write_configs
from migrate.up.state import StateDir


@pytest.mark.parametrize("name", sorted(APPS))
def test_a_copy_elsewhere_means_the_same_records_and_writes_beside_itself(tmp_path: Path, name: str) -> None:
    """`cp .migrate/config/rooms.toml mine.toml`, as the file's head says: not a directory above the copy's."""
    state = StateDir(tmp_path / "clone" / ".migrate")
    state.make()
    app = APPS[name]
    stack = {
        "api_id": "abc", "management_url": "http://127.0.0.1:1/prod", "websocket_url": "ws://127.0.0.1:1/prod",
        "tables": {one.name: one.name for one in app.tables},
        "functions": {one.name: one.name for one in app.functions},
        "queues": {one.consumes: "q" for one in app.functions if one.consumes},
    }  # fmt: skip
    write_configs(
        state,
        {
            "stacks": {name: stack}, "env": {"AWS_DEFAULT_REGION": "us-east-1"}, "sse_url": "http://127.0.0.1:2",
            "aws_endpoint_url": "http://127.0.0.1:3", "shadow_url": {name: "http://127.0.0.1:4"}, "tenant": "demo",
            "jwt": {"secret_file": str(state.jwt_secret_file)},
        },
    )  # fmt: skip
    written = state.configs / f"{name}.toml"
    copy = tmp_path / "clone" / "mine.toml"
    shutil.copy(written, copy)
    assert load_config(copy).records == load_config(written).records == state.records / "shadow" / name
    assert archive_path(load_config(copy)).is_relative_to(copy.parent)
    # Nothing in the file leads up from where it lies.
    assert "../" not in written.read_text(encoding="utf-8").replace("://", "")
