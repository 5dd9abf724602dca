"""Making resources again: what a kill left, what somebody changed meanwhile, AWS away. until phase 3 (MG12)"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import EndpointConnectionError

from migrate.config import Config
from migrate.config.model import Api, Project, Settings
from migrate.errors import MigrateError
from migrate.resources.restore import restore
from migrate.tables.export import DiskExport, Page

REGION = "eu-west-1"
CONFIG = Config(Settings(project=Project(name="p"), api=Api(id="abc", stage="prod", region=REGION)), Path("m.toml"))
TABLE = {
    "kind": "table", "name": "connections", "ttl": None, "backup": "",
    "facts": {
        "TableName": "connections", "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}],
        "AttributeDefinitions": [{"AttributeName": "id", "AttributeType": "S"}],
    },
}  # fmt: skip
ROLE: dict[str, Any] = {
    "kind": "role", "name": "r",
    "facts": {
        "Path": "/", "AssumeRolePolicyDocument": {"Version": "2012-10-17", "Statement": []}, "attached": [],
        "inline": {
            name: {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}
            for name in ("open", "lost")
        },
    },
}  # fmt: skip


def items(count: int) -> list[dict[str, Any]]:
    return [{"kind": "item", "name": "connections", "item": {"id": {"S": f"c{n}"}}} for n in range(count)]


def made(*records: dict[str, Any]) -> list[tuple[str, str, str]]:
    found = restore(CONFIG, [Page("f", tuple(records))], set(), lambda _: None)
    return [(one.id, one.outcome, one.note) for one in found]


def test_a_table_whose_restore_was_killed_is_not_called_whole(aws: None) -> None:
    """Killed between making the table and writing its rows: the next run said "there already", and all was well."""
    assert made(TABLE, *items(60)) == [("table:connections", "made", "60 rows, each compared with the export")]
    assert made(TABLE, *items(60))[0][1:] == ("there already", "its rows were not touched")
    client = boto3.client("dynamodb", REGION)
    for number in range(7):
        client.delete_item(TableName="connections", Key={"id": {"S": f"c{number}"}})
    [(_, outcome, note)] = made(TABLE, *items(60))
    assert outcome == "cannot"
    assert "7 rows of the export are not in it" in note


def test_a_role_that_is_there_keeps_its_policies(aws: None) -> None:
    """Somebody has tightened it meanwhile: nothing is overwritten; what a kill left out is added."""
    iam = boto3.client("iam", REGION)
    iam.create_role(RoleName="r", AssumeRolePolicyDocument=json.dumps(ROLE["facts"]["AssumeRolePolicyDocument"]))
    tight = {"Version": "2012-10-17", "Statement": [{"Effect": "Deny", "Action": "*", "Resource": "*"}]}
    iam.put_role_policy(RoleName="r", PolicyName="open", PolicyDocument=json.dumps(tight))
    assert made(ROLE)[0][:2] == ("role:r", "there already")
    assert iam.get_role_policy(RoleName="r", PolicyName="open")["PolicyDocument"] == tight
    assert set(iam.list_role_policies(RoleName="r")["PolicyNames"]) == {"open", "lost"}


def test_an_export_that_was_cut_off_says_so(aws: None) -> None:
    said: list[str] = []
    pages = [Page("00001-run.jsonl.gz", (TABLE,)), Page("00001-run.jsonl.gz", problem="its last page was cut off")]
    restore(CONFIG, pages, set(), lambda _: None, said.append)
    assert said == ["00001-run.jsonl.gz: its last page was cut off"]


def test_aws_away_is_one_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    class Away:
        def __getattr__(self, name: str) -> Any:
            raise EndpointConnectionError(endpoint_url="https://secret.example.com")

    monkeypatch.setattr("migrate.config.load.Config.client", lambda *_: Away())
    with pytest.raises(MigrateError, match="table:connections: EndpointConnectionError"):
        made(TABLE)


def test_what_was_deleted_is_for_its_owners_eyes(tmp_path: Path) -> None:
    """Functions with their environment, and people's rows."""
    export = DiskExport(tmp_path / "exports" / "job", "run")
    export.write(0, [{"kind": "function", "name": "f"}])
    export.close()
    assert (tmp_path / "exports" / "job").stat().st_mode & 0o077 == 0
