"""Making a table again of which the export holds several states. until phase 3 (MG12)"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import boto3
import pytest
from moto import mock_aws

from migrate.config import Config
from migrate.config.model import Api, Project, Settings
from migrate.resources.restore import restore
from migrate.tables.export import Page

REGION = "eu-west-1"
CONFIG = Config(Settings(project=Project(name="p"), api=Api(id="abc", stage="prod", region=REGION)), Path("m.toml"))
TABLE: dict[str, Any] = {
    "kind": "table", "name": "connections", "ttl": None, "backup": "",
    "facts": {
        "TableName": "connections",
        "KeySchema": [{"AttributeName": "room", "KeyType": "HASH"}, {"AttributeName": "id", "KeyType": "RANGE"}],
        "AttributeDefinitions": [{"AttributeName": one, "AttributeType": "S"} for one in ("id", "room")],
    },
}  # fmt: skip


def rows(seen: str, *ids: str) -> list[dict[str, Any]]:
    return [
        {"kind": "item", "name": "connections", "item": {"room": {"S": "a"}, "id": {"S": one}, "seen": {"S": seen}}}
        for one in ids
    ]


@pytest.mark.parametrize("head_first", [True, False])
def test_a_row_that_changed_between_two_exports_is_what_it_was_last(
    monkeypatch: pytest.MonkeyPatch, head_first: bool
) -> None:
    """Deleted, made again, used, deleted again by the same plan; or a step that was killed and repeated. Of objects in
    S3 the head of a table may come behind its rows.
    """
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    newest, older = rows("late", "1", "2"), rows("early", "1", "3")
    pages = [Page("2", tuple([TABLE, *newest] if head_first else [*newest, TABLE])), Page("1", (TABLE, *older))]
    with mock_aws():
        [made] = restore(CONFIG, pages, set(), lambda _: None)
        found = boto3.client("dynamodb", REGION).scan(TableName="connections")["Items"]
    assert (made.outcome, made.note) == ("made", "3 rows, each compared with the export")
    assert {one["id"]["S"]: one["seen"]["S"] for one in found} == {"1": "late", "2": "late", "3": "early"}
