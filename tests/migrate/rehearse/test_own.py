"""What of somebody's own stack can be rehearsed, and that what cannot is named with what to do (MG16). until phase 3"""

from __future__ import annotations

import io
import os
import tomllib
import zipfile
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto import mock_aws

from migrate.config.model import Settings, Table
from migrate.config.parse import settings_from
from migrate.errors import UsageError
from migrate.rehearse.deploy import deploy, filled, table_request
from migrate.rehearse.own import OwnPlan, foreign_services, plan_own
from migrate.rehearse.packages import Package, handler_of, read_packages, runtime_of
from migrate.rehearse.spoken import Spoken

DESCRIPTION = """
schema = 1
[project]
name = "club"
[api]
id = "a1"
stage = "live"
route_selection = "$request.body.do"
[sse]
default_tenant = "north"
[identity]
user = "member"
[[tables]]
name = "sockets"
role = "connections"
key = "sock"
[[functions]]
name = "door"
role = "authorizer"
[[functions]]
name = "hall"
routes = ["$connect", "$disconnect", "shout"]
env = { KEY = "{$secret}" }
[[functions]]
name = "quiz"
routes = ["quiz"]
[[functions]]
name = "digest"
role = "answer"
[[features]]
name = "shouts"
types = ["shout"]
type_field = "do"
frames = ["shouted"]
frame_type_field = "event"
say = { do = "shout", words = "{$text}", to = "{$other}" }
heard_by = "other"
deliver = [{ frame = "shouted", topic = "room:hall", event = "shouted" }]
collect = [{ event = "shouted", topic = "room:hall" }]
[features.replay]
path = "/api/events"
scopes = ["events:publish"]
room = "hall"
body = { events = [{ topic = "room:hall", data = { words = "{words}", mid = "{$out.mid|$requestId}" } }] }
[[features]]
name = "quiz"
types = ["quiz"]
"""
NODE = Package("door", b"", {"index.js": "exports.handler = async () => ({})"})
PYTHON = Package("hall", b"", {"hall.py": 'def handler(event, context):\n    boto3.client("polly")'})


def described(old: str = "", new: str = "") -> Settings:
    assert old in DESCRIPTION
    return settings_from(tomllib.loads(DESCRIPTION.replace(old, new)), "migrate.toml")


def planned(settings: Settings | None = None, **packages: Package) -> OwnPlan:
    return plan_own(settings or described(), packages or {"door": NODE, "hall": PYTHON}, "migrate.toml")


def test_what_cannot_be_rehearsed_is_named_with_what_to_do() -> None:
    plan = planned()
    assert [one.name for one in plan.settings.functions] == ["door", "hall"]
    assert [one.name for one in plan.settings.features] == ["shouts"]
    said = {one.what: one.do for one in plan.limits}
    assert said["function quiz has no package"] == "give it one: --package quiz=FILE.zip"
    assert "function digest has no package" in said
    [left_out] = [what for what in said if what.startswith("feature quiz")]
    assert left_out == "feature quiz has no replay, say, frames, deliver, collect"


def test_a_function_that_nothing_invokes_and_a_service_that_is_not_there_are_named() -> None:
    plan = planned(door=NODE, hall=PYTHON, digest=PYTHON)
    assert any("function digest is there, and nothing invokes it" in one.what for one in plan.limits)
    [foreign] = foreign_services(plan.packages, {"dynamodb", "s3"})
    assert foreign.what == "hall, digest calls polly, which the local AWS has not"
    assert "AWS_ENDPOINT_URL_POLLY" in foreign.do
    known = Package(
        "x", b"", {"a.mjs": 'import {} from "@aws-sdk/client-dynamodb"; import {} from "@aws-sdk/client-sfn"'}
    )
    assert list(foreign_services({"x": known}, {"dynamodb", "states"})) == []


@pytest.mark.parametrize(
    ("old", "new", "packages", "missing"),
    [
        ("", "", {"hall": PYTHON}, "door has no package, and nobody comes in without it"),
        ("", "", {"door": NODE}, "hall has no package"),
        ('user = "member"', 'user = ""', {}, "identity.user is empty"),
        ('key = "sock"', 'key = "sock"\nsort_key = "n"', {}, "the bridge cannot use the table sockets"),
        ('role = "connections"', 'role = "other"', {}, "there are 0 tables of connections"),
        ('routes = ["quiz"]', 'routes = ["shout"]', {"door": NODE, "hall": PYTHON, "quiz": PYTHON}, "route shout is"),
        ('routes = ["$connect", "$disconnect", "shout"]', "", {}, "hall names no routes"),
        ('say = { do = "shout", words = "{$text}", to = "{$other}" }', "", {}, "feature shouts has no say"),
        ("", "", {"door": NODE, "hall": Package("p", b"", {"a/b.py": ""})}, "the handler of hall cannot be told"),
        ("", "", {"door": NODE, "hall": Package("p", b"", {})}, "hall has the runtime unknown"),
    ],
)  # fmt: skip
def test_without_this_there_is_no_rehearsal(old: str, new: str, packages: dict[str, Package], missing: str) -> None:
    with pytest.raises(UsageError) as refused:
        planned(described(old, new) if old else described(), **packages)
    assert missing in refused.value.message


def test_everything_that_is_missing_has_a_line_of_its_own() -> None:
    """Six things in one line of 600 characters were not read."""
    with pytest.raises(UsageError) as refused:
        planned(described('user = "member"', 'user = ""'), quiz=PYTHON)
    first, *lines = refused.value.message.splitlines()
    assert first == "migrate.toml cannot be rehearsed:"
    assert "  - door has no package, and nobody comes in without it (--package door=FILE.zip)" in lines
    assert any(one.startswith("  - hall has no package") for one in lines)
    assert any(one.startswith("  - identity.user is empty") for one in lines)
    assert "  - no feature can be talked in" in lines
    assert all(";" not in one and len(one) < 200 for one in lines)


def test_a_package_of_no_function_is_refused() -> None:
    with pytest.raises(UsageError, match="no function hal"):
        planned(hal=PYTHON)


# Packages ---------------------------------------------------------------------------------------------------------


def test_a_directory_and_a_zip_are_packages(tmp_path: Path) -> None:
    source = tmp_path / "hall"
    (source / "__pycache__").mkdir(parents=True)
    (source / "__pycache__" / "hall.pyc").write_bytes(b"x")
    (source / "hall.py").write_text("def lambda_handler(event, context): ...\n", encoding="utf-8")
    zipped = tmp_path / "door.zip"
    with zipfile.ZipFile(zipped, "w") as archive:
        archive.writestr("index.mjs", "export const handler = async () => {}")
        archive.writestr("node_modules/x/index.js", "require('@aws-sdk/client-polly')")
    found = read_packages([f"hall={source}", f"door={zipped}"])
    with zipfile.ZipFile(io.BytesIO(found["hall"].code)) as archive:
        assert archive.namelist() == ["hall.py"]
    assert handler_of(found["hall"], runtime_of(found["hall"])) == "hall.lambda_handler"
    assert runtime_of(found["door"]).startswith("nodejs")
    assert handler_of(found["door"], "nodejs20.x") == "index.handler"
    # What somebody else's code could call says nothing.
    assert found["door"].services == ()


@pytest.mark.parametrize(
    ("given", "said"),
    [("hall", "not NAME=PATH"), ("hall=nowhere.zip", "no package nowhere.zip"), ("hall={file}", "is no zip")],
)
def test_what_is_no_package_is_refused(tmp_path: Path, given: str, said: str) -> None:
    file = tmp_path / "x.zip"
    file.write_text("no zip", encoding="utf-8")
    with pytest.raises(UsageError, match=said):
        read_packages([given.format(file=file)])


def test_a_package_that_would_fill_the_memory_or_cannot_be_unpacked_is_refused(tmp_path: Path) -> None:
    bomb, locked, odd, huge = (tmp_path / f"{name}.zip" for name in ("bomb", "locked", "odd", "huge"))
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        for number in range(270):
            archive.writestr(f"{number}.py", b" " * 1_000_000)
    assert bomb.stat().st_size < 1_000_000
    with zipfile.ZipFile(odd, "w") as archive:
        archive.writestr("hall.py", "x = 1")
    data = odd.read_bytes()
    # The flag of a password, and a method of compression that there is not: local header and directory.
    for file, at, value in ((locked, 6, 1), (odd, 8, 97)):
        changed = bytearray(data)
        for begin, further in ((b"PK\3\4", 0), (b"PK\1\2", 2)):
            changed[data.index(begin) + at + further] = value
        file.write_bytes(changed)
    with huge.open("wb") as opened:
        opened.truncate(1 << 40)
    for file, said in (
        (bomb, "270 MB unzipped"), (locked, "cannot be unpacked"), (odd, "cannot be unpacked"),
        (huge, "a package may have 50 MB"), (Path("/dev/zero"), "is no file"),
    ):  # fmt: skip
        with pytest.raises(UsageError, match=said):
            read_packages([f"hall={file}"])


def test_a_build_that_is_the_same_every_time_is_a_package(tmp_path: Path) -> None:
    """Its files are of 1970, which zips have no time for."""
    source = tmp_path / "hall.py"
    source.write_text("def handler(event, context): ...\n", encoding="utf-8")
    os.utime(source, (0, 0))
    assert runtime_of(read_packages([f"hall={tmp_path}"])["hall"]).startswith("python")


# Deployment -------------------------------------------------------------------------------------------------------


def test_a_table_has_the_keys_types_and_indexes_of_the_description() -> None:
    table = Table(
        name="notes", role="other", key="number", partition_key="club", sort_key="number", key_types={"number": "N"},
        user="member", user_index="byMember", indexes={"byClub": ["club", "at"]},
    )  # fmt: skip
    request = table_request(table)
    assert request["KeySchema"] == [
        {"AttributeName": "club", "KeyType": "HASH"}, {"AttributeName": "number", "KeyType": "RANGE"},
    ]  # fmt: skip
    types = {one["AttributeName"]: one["AttributeType"] for one in request["AttributeDefinitions"]}
    assert types == {"club": "S", "number": "N", "member": "S", "at": "S"}
    assert {one["IndexName"] for one in request["GlobalSecondaryIndexes"]} == {"byMember", "byClub"}


def test_stand_ins_are_filled_in_and_other_braces_are_left_alone() -> None:
    assert filled('{"key": "{$secret}", "x": {}}', {"secret": "s"}) == '{"key": "s", "x": {}}'
    with pytest.raises(UsageError, match=r"no \{\$nonsense\}"):
        filled("{$nonsense}", {"secret": "s"})


@mock_aws
def test_it_stands_on_aws_as_described() -> None:
    def client(service: str) -> Any:
        made = boto3.client(service, region_name="eu-west-1", aws_access_key_id="x", aws_secret_access_key="x")
        if service == "apigatewayv2":
            # moto has none.
            made.create_deployment = lambda **_: {}
        return made

    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("hall.py", "x")
    code = buffer.getvalue()
    plan = planned(door=Package("door", code, NODE.sources), hall=Package("hall", code, PYTHON.sources))
    there = deploy(
        plan, client, region="eu-west-1", account="123456789012", secret="k", env={"hall": {"MORE": "{$api_id}"}}
    )  # fmt: skip
    function = client("lambda").get_function_configuration(FunctionName="hall")
    assert function["Environment"]["Variables"] == {"KEY": "k", "MORE": there.api_id}
    routes = {one["RouteKey"]: one for one in client("apigatewayv2").get_routes(ApiId=there.api_id)["Items"]}
    assert set(routes) == {"$connect", "$disconnect", "shout"}
    assert routes["$connect"]["AuthorizationType"] == "CUSTOM"
    assert routes["shout"]["AuthorizationType"] == "NONE"
    assert client("dynamodb").describe_table(TableName="sockets")["Table"]["KeySchema"][0]["AttributeName"] == "sock"


# Talk -------------------------------------------------------------------------------------------------------------


def test_people_speak_and_hear_as_the_description_says() -> None:
    app = Spoken(planned().settings)
    app.check()
    assert app.rooms() == {"hall"}
    what = app.utter("ann", 4, ["ann", "ben", "cleo"])
    [(mark, listeners)] = what.texts.items()
    assert listeners == {"ben"}
    assert what.frame["to"] == "ben"
    assert what.scopes == ("events:publish",)
    data = what.body["events"][0]["data"]
    assert data["mid"] == "rehearsal-ann-4"
    frame = {"event": "shouted", "inner": {"words": data["words"]}}
    assert app.kind(frame) == "shouted"
    assert app.hear("ben", "shouted", frame) == mark
    # A receipt, and one's own copy, are nobody's message.
    assert app.hear("ben", "received", frame) is None
    assert app.hear("ann", "shouted", frame) is None


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('words = "{$text}"', 'words = "hello"', "what is said is not in"),
        ('words = "{words}"', 'words = "{wrods}"', "replay or say needs wrods"),
        ('do = "shout", words', 'do = "cry", words', "say has the type 'cry'"),
    ],
)
def test_a_description_in_which_nobody_can_talk_is_refused(old: str, new: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        Spoken(planned(described(old, new)).settings).check()


def test_the_drain_frame_of_the_description_tells_people_to_go() -> None:
    settings = described("[identity]", '[drain]\nframe = { event = "moving", to = "{$sse_url}" }\n[identity]')
    app = Spoken(planned(settings).settings)
    assert app.says_go({"event": "moving", "to": "http://x"})
    assert not app.says_go({"event": "shouted"})
