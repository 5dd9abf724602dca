"""legacy_ws.deploy on a real MiniStack (CL1): idempotent, resumable, and only its own things are removed. until phase 3

Most tests deploy an application that has one of everything an application can have.
"""

from __future__ import annotations

import itertools
import json
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

from legacy_ws.aws import AwsSession
from legacy_ws.deploy import stack as stack_module
from legacy_ws.deploy.apps import ROOMS
from legacy_ws.deploy.destroy import destroy
from legacy_ws.deploy.inventory import Resource, stacks, take
from legacy_ws.deploy.options import DeployOptions
from legacy_ws.deploy.spec import AppSpec, FunctionSpec, Grant, QueueSpec, TableSpec
from legacy_ws.deploy.stack import Deployment, deploy, names_of
from legacy_ws.deploy.status import status_of
from legacy_ws.errors import RefusedError, StepFailedError, UsageError

pytestmark = pytest.mark.integration

SECRET = "s" * 40
READS = ("Describe", "Get", "List", "Batch", "Scan", "Query")
_numbers = itertools.count(1)

_HANDLERS = "legacy_ws.apps.rooms"
EVERYTHING = AppSpec(
    name="everything",
    auth="cognito",
    route_selection="$request.body.type",
    tables=(
        TableSpec(
            name="connections",
            suffix="Connections",
            env="LEGACY_WS_CONNECTIONS_TABLE",
            keys=(("connectionId", "S"),),
            ttl="ttl",
            indexes={"user-index": (("userId", "S"),), "tenant-index": (("tenantId", "S"), ("connectedAt", "N"))},
        ),
        TableSpec("messages", "messages", "LEGACY_WS_MESSAGES_TABLE", (("roomId", "S"), ("timestamp", "S"))),
    ),
    queues=(
        QueueSpec("answers", "answers.fifo", "LEGACY_WS_ANSWERS_QUEUE_URL", fifo=True),
        QueueSpec("reports", "reports", "LEGACY_WS_REPORTS_QUEUE_URL", visibility_s=60, max_receives=3),
    ),
    functions=(
        FunctionSpec("authorizer", "legacy_ws.apps.authorize.handler", authorizer=True),
        FunctionSpec(
            "connect",
            f"{_HANDLERS}.connect.handler",
            routes=("$connect",),
            grants=(Grant("connections", ("dynamodb:PutItem",)),),
        ),
        FunctionSpec(
            "chat",
            f"{_HANDLERS}.send_message.handler",
            routes=("$default", "chat"),
            grants=(
                Grant("processing", ("lambda:InvokeFunction",)),
                Grant("connections", ("dynamodb:Query",)),
                Grant("connections", ("dynamodb:GetItem",)),
                Grant("reports", ("sqs:SendMessage",)),
            ),
        ),
        FunctionSpec(
            "processing",
            f"{_HANDLERS}.default.handler",
            env="LEGACY_WS_PROCESSING_FUNCTION",
            settings={"LEGACY_WS_SLOW": "1"},
            grants=(Grant("answers", ("sqs:SendMessage",)),),
        ),
        FunctionSpec(
            "answer",
            f"{_HANDLERS}.default.handler",
            consumes="answers",
            grants=(Grant("management", ("execute-api:ManageConnections",)),),
        ),
    ),
)


class CutError(Exception):
    """The process died here."""


class Session(AwsSession):
    """A session that can be cut off at, or right after, one of its changing calls."""

    def __init__(self, address: str) -> None:
        super().__init__("ap-northeast-1", None, address)
        self.changes: list[str] = []
        self.cut_before: str | None = None
        self.cut_after_changes: int | None = None

    def client(self, service: str) -> Any:
        new = service not in self._made
        client = super().client(service)
        if new:
            client.meta.events.register("before-call", self._before)
            client.meta.events.register("after-call", self._after)
        return client

    def _before(self, model: Any, **_: object) -> None:
        if model.name == self.cut_before:
            raise CutError(model.name)

    def _after(self, model: Any, **_: object) -> None:
        if not model.name.startswith(READS):
            self.changes.append(model.name)
            if self.cut_after_changes is not None and len(self.changes) >= self.cut_after_changes:
                raise CutError(model.name)


@pytest.fixture(scope="module", autouse=True)
def one_zip() -> Iterator[None]:
    """The package is the same throughout, even while somebody edits a file of it."""
    code = stack_module.build_zip()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stack_module, "build_zip", lambda: code)
        yield


@pytest.fixture
def session(ministack: str) -> Session:
    return Session(ministack)


@pytest.fixture
def name(ministack: str) -> Iterator[str]:
    """A stack name of this test's own; whatever carries it is removed afterwards."""
    stack = f"t{next(_numbers)}"
    yield stack
    clean = AwsSession("ap-northeast-1", None, ministack)
    destroy(clean, take(clean, names_of(clean, stack)).owned, lambda *_: None)


def run(session: AwsSession, stack: str, **options: Any) -> Deployment:
    app = options.pop("app", ROOMS)
    if app.auth == "jwt":
        options.setdefault("jwt_secret", SECRET)
    secret_made = options.pop("secret_made", lambda _: None)
    return deploy(
        session,
        stack,
        app,
        DeployOptions(**options),
        report=lambda *_: None,
        secret_made=secret_made,
    )


def actions(done: Deployment) -> Counter[str]:
    return Counter(step.action for step in done.done)


def picture(session: AwsSession, stack: str) -> dict[str, Any]:
    """Everything of a stack that somebody could notice, without ids and names of its own."""
    names, app = names_of(session, stack), EVERYTHING
    ddb, iam, fns, gw = (session.client(one) for one in ("dynamodb", "iam", "lambda", "apigatewayv2"))
    sqs, cognito = session.client("sqs"), session.client("cognito-idp")
    inventory = take(session, names)
    api = next(one.id for one in inventory.owned if one.kind == "api")
    pool = next(one.id for one in inventory.owned if one.kind == "user pool")
    client = cognito.list_user_pool_clients(UserPoolId=pool, MaxResults=60)["UserPoolClients"][0]["ClientId"]
    integrations = {one["IntegrationId"]: one["IntegrationUri"] for one in gw.get_integrations(ApiId=api)["Items"]}
    authorizers = {one["AuthorizerId"]: one["AuthorizerUri"] for one in gw.get_authorizers(ApiId=api)["Items"]}
    stage = gw.get_stage(ApiId=api, StageName="prod")
    deployment = gw.get_deployment(ApiId=api, DeploymentId=stage["DeploymentId"])
    shown = {
        "owned": sorted((one.kind, one.name) for one in inventory.owned),
        "tables": {
            table.name: [
                ddb.describe_table(TableName=names.table(table))["Table"]["KeySchema"],
                sorted(
                    (index["IndexName"], index["IndexStatus"], str(index["KeySchema"]))
                    for index in ddb.describe_table(TableName=names.table(table))["Table"].get(
                        "GlobalSecondaryIndexes", []
                    )
                ),
                ddb.describe_time_to_live(TableName=names.table(table))["TimeToLiveDescription"],
            ]
            for table in app.tables
        },
        "policies": {
            function.name: iam.get_role_policy(RoleName=names.role(function), PolicyName="access")["PolicyDocument"]
            for function in app.functions
        },
        "permissions": {
            function.name: [
                (statement["Sid"], statement["Condition"])
                for statement in json.loads(fns.get_policy(FunctionName=names.function(function))["Policy"])[
                    "Statement"
                ]
            ]
            for function in app.functions
            if function.authorizer or function.routes
        },
        "queues": [
            {
                key: value
                for key, value in sqs.get_queue_attributes(QueueUrl=one.id, AttributeNames=["All"])[
                    "Attributes"
                ].items()
                if not key.endswith("Timestamp")
            }
            for one in sorted(inventory.owned, key=lambda one: one.name)
            if one.kind == "queue"
        ],
        "event sources": [
            {
                key: fns.get_event_source_mapping(UUID=one.id).get(key)
                for key in ("State", "BatchSize", "FunctionResponseTypes", "EventSourceArn", "FunctionArn")
            }
            for one in inventory.owned
            if one.kind == "event source"
        ],
        "clients": [
            one["ClientName"]
            for one in cognito.list_user_pool_clients(UserPoolId=pool, MaxResults=60)["UserPoolClients"]
        ],
        "functions": {
            function.name: {
                key: fns.get_function_configuration(FunctionName=names.function(function)).get(key)
                for key in ("State", "CodeSha256", "Environment", "Handler", "Role", "Timeout", "MemorySize")
            }
            for function in app.functions
        },
        "routes": sorted(
            (
                route["RouteKey"],
                route["AuthorizationType"],
                authorizers.get(route.get("AuthorizerId") or "", ""),
                integrations[route["Target"].removeprefix("integrations/")],
            )
            for route in gw.get_routes(ApiId=api)["Items"]
        ),
        "retention": sorted(
            (group["logGroupName"], group.get("retentionInDays"))
            for group in session.client("logs").describe_log_groups(logGroupNamePrefix=f"/aws/lambda/{stack}-")[
                "logGroups"
            ]
        ),
        "counts": (len(integrations), len(authorizers), len(gw.get_stages(ApiId=api)["Items"])),
        "stage": [stage["DefaultRouteSettings"], stage["AccessLogSettings"], deployment["DeploymentStatus"]],
    }
    text = json.dumps(shown, default=str)
    for identifier in (*authorizers, api, pool, client):
        text = text.replace(identifier, "ID")
    pictured: dict[str, Any] = json.loads(
        text.replace(f"{stack}-", "STACK-")
        .replace(f"/{stack}/", "/STACK/")
        .replace(f'/{stack}"', '/STACK"')
        .replace(json.dumps(stack), '"STACK"')
    )
    return pictured


@pytest.fixture(scope="module")
def reference(ministack: str) -> dict[str, Any]:
    """The picture of a stack that was deployed in one go."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ACCESS_KEY_ID", "local")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "local")
        session = AwsSession("ap-northeast-1", None, ministack)
        run(session, "reference", app=EVERYTHING)
        return picture(session, "reference")


def test_deploy_makes_everything_and_a_second_run_nothing(session: Session, name: str) -> None:
    first = run(session, name, app=EVERYTHING)
    # Indexes come with a table that is made.
    assert {step.kind for step in first.done if step.action == "unchanged"} == {"index"}
    assert first.tables == {"connections": f"{name}-Connections", "messages": f"{name}-messages"}
    assert first.queues == {"answers": f"{name}-answers.fifo", "reports": f"{name}-reports"}
    assert first.user_pool_id is not None
    assert first.websocket_url.endswith("/prod")
    session.changes.clear()
    second = run(session, name, app=EVERYTHING)
    assert session.changes == []
    assert set(actions(second)) == {"unchanged", "done"}
    assert second.api_id == first.api_id


def test_every_function_is_active_and_knows_its_tables(session: Session, name: str) -> None:
    run(session, name)
    for function in ROOMS.functions:
        found = session.client("lambda").get_function_configuration(FunctionName=f"{name}-{function.name}")
        assert found["State"] == "Active"
        variables = found["Environment"]["Variables"]
        # Least privilege for the secret as well: only the authorizer has it.
        assert ("LEGACY_WS_JWT_SECRET" in variables) is function.authorizer
        if function.grants:
            assert variables["LEGACY_WS_CONNECTIONS_TABLE"] == f"{name}-Connections"


@pytest.mark.parametrize(
    "operation",
    [
        "CreateQueue",
        "CreateUserPoolClient",
        "CreateApi",
        "CreateFunction",
        "CreateEventSourceMapping",
        "CreateRoute",
        "CreateDeployment",
        "CreateStage",
    ],
)
def test_a_deployment_cut_at_any_step_is_continued(
    session: Session, name: str, reference: dict[str, Any], operation: str
) -> None:
    session.cut_before = operation
    with pytest.raises(CutError):
        run(session, name, app=EVERYTHING)
    session.cut_before = None
    run(session, name, app=EVERYTHING)
    assert picture(session, name) == reference


def test_a_deployment_cut_after_every_single_change_ends_the_same(
    session: Session, name: str, reference: dict[str, Any]
) -> None:
    """Each run dies right after its first change, whose answer it never saw, until nothing is left to
    change.
    """
    cuts: list[str] = []
    session.cut_after_changes = 1
    while True:
        session.changes.clear()
        try:
            run(session, name, app=EVERYTHING)
            break
        except CutError as cut:
            cuts.append(str(cut))
        assert len(cuts) < 200
    assert len(cuts) > 40
    session.cut_after_changes = None
    assert picture(session, name) == reference


def test_changed_code_and_settings_update_the_functions_and_not_the_api(
    session: Session, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(session, name)
    before = session.client("apigatewayv2").get_deployments(ApiId=run(session, name).api_id)["Items"]
    session.changes.clear()
    changed = run(session, name, environment={"LEGACY_WS_FANOUT_WORKERS": "4"})
    assert Counter(session.changes) == {"UpdateFunctionConfiguration": len(ROOMS.functions)}
    assert {step.kind for step in changed.done if step.action == "updated"} == {"function"}

    real = stack_module.build_zip()
    monkeypatch.setattr(stack_module, "build_zip", lambda: _other_zip(real))
    session.changes.clear()
    run(session, name, environment={"LEGACY_WS_FANOUT_WORKERS": "4"})
    assert Counter(session.changes) == {"UpdateFunctionCode": len(ROOMS.functions)}
    assert session.client("apigatewayv2").get_deployments(ApiId=changed.api_id)["Items"] == before


def _other_zip(data: bytes) -> bytes:
    import io
    import zipfile

    buffer = io.BytesIO(data)
    with zipfile.ZipFile(buffer, "a") as archive:
        archive.writestr("more.py", "")
    return buffer.getvalue()


def test_a_route_that_somebody_changed_is_put_right_and_deployed_again(session: Session, name: str) -> None:
    api = run(session, name).api_id
    gateway = session.client("apigatewayv2")
    route = next(one for one in gateway.get_routes(ApiId=api)["Items"] if one["RouteKey"] == "$connect")
    gateway.update_route(ApiId=api, RouteId=route["RouteId"], AuthorizationType="NONE")
    gateway.create_route(ApiId=api, RouteKey="extra", Target=route["Target"])
    again = run(session, name)
    assert {(step.kind, step.action) for step in again.done if step.action in ("created", "updated")} == {
        ("route", "updated"),
        ("deployment", "created"),
        ("stage", "updated"),
    }
    assert "extra" in {one["RouteKey"] for one in gateway.get_routes(ApiId=api)["Items"]}  # not ours to remove


def test_throttling_is_part_of_the_stage(session: Session, name: str) -> None:
    run(session, name)
    changed = run(session, name, throttle_rate=10.0, throttle_burst=20)
    assert [step.kind for step in changed.done if step.action == "updated"] == ["stage"]
    settings = session.client("apigatewayv2").get_stage(ApiId=changed.api_id, StageName="prod")["DefaultRouteSettings"]
    assert (settings["ThrottlingRateLimit"], settings["ThrottlingBurstLimit"]) == (10, 20)


def test_a_secret_is_made_once_and_kept(session: Session, name: str) -> None:
    made: list[str] = []
    run(session, name, jwt_secret=None, secret_made=made.append)
    run(session, name, jwt_secret=None, secret_made=made.append)
    assert len(made) == 1
    config = session.client("lambda").get_function_configuration(FunctionName=f"{name}-authorizer")
    assert config["Environment"]["Variables"]["LEGACY_WS_JWT_SECRET"] == made[0]
    assert made[0] not in repr(DeployOptions(jwt_secret=made[0]))


@pytest.mark.parametrize("options", [{"jwt_secret": "short"}, {"runtime": "nodejs22.x"}])
def test_wrong_options_are_refused_before_anything_is_made(options: dict[str, str]) -> None:
    with pytest.raises(UsageError):
        DeployOptions(**options)  # type: ignore[arg-type]


def make_table(session: Session, table: str) -> None:
    session.client("dynamodb").create_table(
        TableName=table,
        KeySchema=[{"AttributeName": "connectionId", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "connectionId", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )


def test_somebody_elses_table_is_neither_used_nor_deleted(session: Session, name: str) -> None:
    make_table(session, f"{name}-Connections")
    with pytest.raises(RefusedError, match="not part of stack"):
        run(session, name)
    make_table(session, f"{name}-Archive")
    inventory = take(session, names_of(session, name))
    assert inventory.owned == []
    assert sorted(one.name for one in inventory.foreign) == [f"{name}-Archive", f"{name}-Connections"]
    session.client("dynamodb").delete_table(TableName=f"{name}-Connections")
    run(session, name)
    destroy(session, take(session, names_of(session, name)).owned, lambda *_: None)
    left = session.client("dynamodb").list_tables()["TableNames"]
    assert f"{name}-Archive" in left
    assert f"{name}-Connections" not in left
    session.client("dynamodb").delete_table(TableName=f"{name}-Archive")


def test_a_stack_whose_name_begins_like_ours_is_another_stack(session: Session, name: str) -> None:
    other = f"{name}-b"
    run(session, name)
    run(session, other)
    inventory = take(session, names_of(session, name))
    assert inventory.foreign == []
    destroy(session, inventory.owned, lambda *_: None)
    status = status_of(session, names_of(session, other))
    assert status is not None
    assert status.complete
    assert stacks(session).count(other) == 1
    destroy(session, take(session, names_of(session, other)).owned, lambda *_: None)


def test_destroy_leaves_nothing_and_runs_twice_and_after_a_cut(session: Session, name: str) -> None:
    run(session, name)
    names = names_of(session, name)
    order = [one.kind for one in take(session, names).owned]
    assert order == sorted(
        order, key=["api", "event source", "function", "log group", "role", "queue", "table", "user pool"].index
    )
    session.cut_after_changes = 1
    for _ in range(100):
        session.changes.clear()
        try:
            destroy(session, take(session, names).owned, lambda *_: None)
            break
        except CutError:
            continue
    session.cut_after_changes = None
    assert take(session, names).owned == []
    destroy(session, [], lambda *_: None)
    assert status_of(session, names) is None
    assert not [one for one in session.client("lambda").list_functions()["Functions"] if name in one["FunctionName"]]


def test_what_has_gone_meanwhile_counts_as_deleted(session: Session, name: str) -> None:
    run(session, name)
    owned = take(session, names_of(session, name)).owned
    session.client("lambda").delete_function(FunctionName=f"{name}-connect")
    destroy(session, owned, lambda *_: None)
    assert take(session, names_of(session, name)).owned == []


def test_an_event_source_that_has_outlived_its_function_goes_too(session: Session, name: str) -> None:
    run(session, name, app=EVERYTHING)
    session.client("lambda").delete_function(FunctionName=f"{name}-answer")
    names = names_of(session, name)
    assert [one.name for one in take(session, names).owned if one.kind == "event source"] == [
        f"{name}-answers.fifo -> {name}-answer"
    ]
    destroy(session, take(session, names).owned, lambda *_: None)
    left = session.client("lambda").list_event_source_mappings()["EventSourceMappings"]
    assert [one["UUID"] for one in left if f"{name}-answer" in one["FunctionArn"]] == []


def test_status_tells_a_half_deployed_stack_from_a_whole_one(session: Session, name: str) -> None:
    session.cut_before = "CreateRoute"
    with pytest.raises(CutError):
        run(session, name, app=EVERYTHING)
    session.cut_before = None
    half = status_of(session, names_of(session, name))
    assert half is not None
    assert not half.complete
    run(session, name, app=EVERYTHING)
    whole = status_of(session, names_of(session, name))
    assert whole is not None
    assert whole.complete
    assert whole.routes["chat"] == f"{name}-chat"
    assert {(part.kind, part.state) for part in whole.parts} >= {
        ("event source", "Enabled"),
        ("queue", "available"),
        ("user pool", "available"),
    }
    assert name in stacks(session)


def test_a_refusal_of_aws_names_the_step_and_how_to_go_on(session: Session, name: str) -> None:
    def refuse(**_: object) -> None:
        raise ClientError({"Error": {"Code": "AccessDenied", "Message": "not you"}}, "CreateRole")

    session.client("iam").create_role = refuse
    with pytest.raises(StepFailedError, match=f"role {name}-authorizer") as caught:
        run(session, name)
    assert "run the same command again" in str(caught.value.hint)
    assert caught.value.exit_code == 2


def log_groups(session: Session, stack: str) -> dict[str, tuple[dict[str, str], int | None]]:
    """Name -> tags and retention in days."""
    logs = session.client("logs")
    return {
        group["logGroupName"]: (
            logs.list_tags_for_resource(resourceArn=group["arn"].removesuffix(":*"))["tags"],
            group.get("retentionInDays"),
        )
        for group in logs.describe_log_groups(logGroupNamePrefix=f"/aws/lambda/{stack}-")["logGroups"]
    }


@pytest.mark.parametrize("whose", ["another stack's", "nobody's, with logs", "of a function that is not ours"])
def test_somebody_elses_log_group_is_neither_taken_over_nor_deleted(session: Session, name: str, whose: str) -> None:
    """CL1: `destroy` would delete what `deploy` has tagged."""
    group = f"/aws/lambda/{name}-authorizer"
    logs, functions = session.client("logs"), session.client("lambda")
    tags = {"ws2sse:stack": "other"} if whose == "another stack's" else {}
    logs.create_log_group(logGroupName=group, tags=tags)
    if whose == "nobody's, with logs":
        logs.create_log_stream(logGroupName=group, logStreamName="2024/01/01/[$LATEST]1")
    if whose == "of a function that is not ours":
        functions.create_function(
            FunctionName=f"{name}-authorizer",
            Runtime="python3.13",
            Role="arn:aws:iam::000000000000:role/theirs",
            Handler="x.handler",
            Code={"ZipFile": stack_module.build_zip()},
        )
    try:
        with pytest.raises(RefusedError, match="not part of stack"):
            run(session, name)
        destroy(session, take(session, names_of(session, name)).owned, lambda *_: None)
        assert log_groups(session, name) == {group: (tags, None)}
    finally:
        logs.delete_log_group(logGroupName=group)
        if whose == "of a function that is not ours":
            functions.delete_function(FunctionName=f"{name}-authorizer")


def test_the_log_group_that_lambda_made_for_our_function_is_taken_over(session: Session, name: str) -> None:
    """CL1: somebody deleted the group, and the function wrote again; an empty group may be made beforehand."""
    logs = session.client("logs")
    logs.create_log_group(logGroupName=f"/aws/lambda/{name}-connect")
    run(session, name)
    logs.delete_log_group(logGroupName=f"/aws/lambda/{name}-authorizer")
    logs.create_log_group(logGroupName=f"/aws/lambda/{name}-authorizer")
    logs.create_log_stream(logGroupName=f"/aws/lambda/{name}-authorizer", logStreamName="1")
    run(session, name)
    for one in ("connect", "authorizer"):
        tags, retention = log_groups(session, name)[f"/aws/lambda/{name}-{one}"]
        assert (tags["ws2sse:stack"], retention) == (name, 14)


def test_a_log_group_made_again_while_destroy_runs_goes_too(session: Session, name: str) -> None:
    """CL1: Lambda sends the last logs of a deleted function late."""
    run(session, name)
    group = f"/aws/lambda/{name}-connect"

    def late(resource: Resource, *_: object) -> None:
        if resource.name == group:
            session.client("logs").create_log_group(logGroupName=group)

    destroy(session, take(session, names_of(session, name)).owned, late)
    assert log_groups(session, name) == {}
