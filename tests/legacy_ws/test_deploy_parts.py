"""Single steps of legacy_ws.deploy on a real MiniStack, and what AWS answers that MiniStack does not. until phase 3"""

from __future__ import annotations

import itertools
import json
import uuid
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from botocore.stub import Stubber

from legacy_ws.aws import AwsSession
from legacy_ws.deploy import queues, user_pool
from legacy_ws.deploy.api import ensure_stage, ensure_target, ensure_two_way
from legacy_ws.deploy.apps import ROOMS
from legacy_ws.deploy.destroy import destroy
from legacy_ws.deploy.functions import ensure_permission
from legacy_ws.deploy.inventory import take
from legacy_ws.deploy.options import DeployOptions
from legacy_ws.deploy.shapes import ACCESS_LOG_FORMAT, dead_queue_shape, queue_shape, stage_shape
from legacy_ws.deploy.spec import AppSpec, FunctionSpec, QueueSpec, StackNames, TableSpec
from legacy_ws.deploy.stack import Deployment, deploy, names_of
from legacy_ws.deploy.steps import Action, Step, run_steps
from legacy_ws.deploy.tables import describe, ensure_index, ensure_table
from legacy_ws.errors import RefusedError, StepFailedError, UsageError

pytestmark = pytest.mark.integration

ANSWERS = QueueSpec("answers", "answers.fifo", "URL", fifo=True)
USERS = AppSpec(
    name="users",
    auth="cognito",
    tables=(),
    functions=(
        FunctionSpec("authorizer", "legacy_ws.apps.authorize.handler", authorizer=True),
        FunctionSpec("connect", "legacy_ws.apps.rooms.connect.handler", routes=("$connect",)),
    ),
)
SIGNED = AppSpec(name="signed", tables=(), functions=USERS.functions)
_numbers = itertools.count(1)


@pytest.fixture
def session(ministack: str) -> AwsSession:
    return AwsSession("ap-northeast-1", None, ministack)


@pytest.fixture
def names(session: AwsSession) -> Iterator[StackNames]:
    """Names of a stack of this test's own; whatever carries them is removed afterwards."""
    made = names_of(session, f"p{next(_numbers)}")
    yield made
    destroy(session, take(session, made).owned, lambda *_: None)


def run(session: AwsSession, stack: str, app: AppSpec, **options: Any) -> Deployment:
    return deploy(session, stack, app, DeployOptions(**options), report=lambda *_: None, secret_made=lambda _: None)


def authorizer(session: AwsSession, names: StackNames) -> dict[str, str]:
    """Environment of the stack's authorizer."""
    found = session.client("lambda").get_function_configuration(FunctionName=f"{names.stack}-authorizer")
    variables: dict[str, str] = found["Environment"]["Variables"]
    return variables


def no_sleep(_: float) -> None:
    """Time passes."""


# Tables


def plain_and_indexed(name: str, *indexes: str) -> TableSpec:
    return TableSpec("t", name, "T", (("id", "S"),), indexes={one: ((one, "S"),) for one in indexes})


def test_a_missing_index_is_added_to_a_table_that_has_rows(session: AwsSession, names: StackNames) -> None:
    client = session.client("dynamodb")
    ensure_table(client, names, plain_and_indexed("t", "email"))
    client.put_item(TableName=f"{names.stack}-t", Item={"id": {"S": "1"}, "email": {"S": "e"}, "tenant": {"S": "t"}})
    more = plain_and_indexed("t", "email", "tenant", "user")
    assert ensure_table(client, names, more) == "unchanged"
    done: list[Action] = [ensure_index(client, names, more, index) for index in more.indexes]
    assert done == ["unchanged", "created", "created"]
    assert [ensure_index(client, names, more, index) for index in more.indexes] == ["unchanged"] * 3
    found = client.query(
        TableName=f"{names.stack}-t",
        IndexName="tenant",
        KeyConditionExpression="tenant = :t",
        ExpressionAttributeValues={":t": {"S": "t"}},
    )
    assert [row["id"]["S"] for row in found["Items"]] == ["1"]


def test_an_index_with_other_keys_is_said_and_not_replaced(session: AwsSession, names: StackNames) -> None:
    client = session.client("dynamodb")
    ensure_table(client, names, plain_and_indexed("t", "email"))
    other = TableSpec("t", "t", "T", (("id", "S"),), indexes={"email": (("address", "S"),)})
    with pytest.raises(StepFailedError, match="other keys"):
        ensure_index(client, names, other, "email")
    assert (describe(client, f"{names.stack}-t") or {})["GlobalSecondaryIndexes"][0]["KeySchema"][0][
        "AttributeName"
    ] == "email"


def test_a_second_index_waits_until_the_first_is_filled() -> None:
    """DynamoDB refuses a change of a table that it is still changing."""
    names = StackNames("s", "ap-northeast-1", "0" * 12)
    spec = plain_and_indexed("t", "one", "two")

    def table(status: str, **indexes: str) -> dict[str, Any]:
        return {
            "Table": {
                "TableStatus": status,
                "GlobalSecondaryIndexes": [
                    {
                        "IndexName": name,
                        "IndexStatus": state,
                        "KeySchema": [{"AttributeName": name, "KeyType": "HASH"}],
                    }
                    for name, state in indexes.items()
                ],
            }
        }

    client = boto3.client("dynamodb")
    with Stubber(client) as stub:
        stub.add_response("describe_table", table("UPDATING", one="CREATING"))
        stub.add_response("describe_table", table("UPDATING", one="CREATING"))
        stub.add_response("describe_table", table("ACTIVE", one="CREATING"))
        stub.add_response("describe_table", table("ACTIVE", one="ACTIVE"))
        stub.add_response("update_table", {})
        stub.add_response("describe_table", table("UPDATING", one="ACTIVE", two="CREATING"))
        stub.add_response("describe_table", table("ACTIVE", one="ACTIVE", two="ACTIVE"))
        assert ensure_index(client, names, spec, "two") == "created"
        stub.assert_no_pending_responses()


# Queues


def test_a_queue_that_somebody_changed_is_put_right(session: AwsSession, names: StackNames) -> None:
    sqs = session.client("sqs")
    urls: list[str] = []
    dead, name = names.dead_queue(ANSWERS), names.queue(ANSWERS)
    assert (name, dead) == (f"{names.stack}-answers.fifo", f"{names.stack}-answers-dead.fifo")
    queues.ensure_queue(sqs, names, dead, dead_queue_shape(ANSWERS), urls.append)
    shape = queue_shape(ANSWERS, names)
    assert queues.ensure_queue(sqs, names, name, shape, urls.append) == "created"
    assert queues.ensure_queue(sqs, names, name, shape, urls.append) == "unchanged"
    sqs.set_queue_attributes(QueueUrl=urls[1], Attributes={"VisibilityTimeout": "1"})
    assert queues.ensure_queue(sqs, names, name, shape, urls.append) == "updated"
    assert queues.ensure_queue(sqs, names, name, shape, urls.append) == "unchanged"
    assert len(set(urls)) == 2
    now = sqs.get_queue_attributes(QueueUrl=urls[1], AttributeNames=["All"])["Attributes"]
    assert now["VisibilityTimeout"] == "180"
    assert now["DeduplicationScope"] == "messageGroup"
    assert names.dead_queue_arn(ANSWERS) in now["RedrivePolicy"]


def test_somebody_elses_queue_is_neither_used_nor_deleted(session: AwsSession, names: StackNames) -> None:
    sqs = session.client("sqs")
    url = sqs.create_queue(QueueName=f"{names.stack}-jobs")["QueueUrl"]
    with pytest.raises(RefusedError, match="not part of stack"):
        queues.ensure_queue(sqs, names, f"{names.stack}-jobs", {}, lambda _: None)
    assert [one.name for one in take(session, names).foreign] == [f"{names.stack}-jobs"]
    destroy(session, take(session, names).owned, lambda *_: None)
    assert sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])
    sqs.delete_queue(QueueUrl=url)


def test_the_name_of_a_deleted_queue_is_waited_for() -> None:
    """SQS keeps it for 60 seconds."""
    naps: list[float] = []
    client = boto3.client("sqs")
    with Stubber(client) as stub:
        stub.add_client_error("get_queue_url", "QueueDoesNotExist", "", 400)
        for _ in range(2):
            stub.add_client_error("create_queue", "QueueDeletedRecently", "wait", 400)
        stub.add_response("create_queue", {"QueueUrl": "https://q"})
        urls: list[str] = []
        names = StackNames("s", "ap-northeast-1", "0" * 12)
        assert queues.ensure_queue(client, names, "s-q", {}, urls.append, sleep=naps.append) == "created"
    assert urls == ["https://q"]
    assert len(naps) == 2


def source(state: str, **more: object) -> dict[str, Any]:
    return {
        "UUID": str(uuid.UUID(int=1)),
        "State": state,
        "BatchSize": 10,
        "FunctionResponseTypes": ["ReportBatchItemFailures"],
        **more,
    }


NAMES = StackNames("s", "ap-northeast-1", "0" * 12)
QUEUE = NAMES.queue_arn(ANSWERS)


def test_an_event_source_waits_for_its_role_and_until_it_is_enabled() -> None:
    naps: list[float] = []
    client = boto3.client("lambda")
    refusal = "The provided execution role does not have permissions to call ReceiveMessage on SQS"
    with Stubber(client) as stub:
        stub.add_response("list_event_source_mappings", {"EventSourceMappings": []})
        stub.add_client_error("create_event_source_mapping", "InvalidParameterValueException", refusal, 400)
        stub.add_response("create_event_source_mapping", source("Creating"))
        stub.add_response("get_event_source_mapping", source("Enabling"))
        stub.add_response("get_event_source_mapping", source("Enabled"))
        assert queues.ensure_event_source(client, NAMES, QUEUE, "s-answer", sleep=naps.append) == "created"
        stub.assert_no_pending_responses()
    assert naps == [0.5]


def test_a_switched_off_event_source_is_switched_on_and_a_dying_one_is_made_again() -> None:
    client = boto3.client("lambda")
    with Stubber(client) as stub:
        stub.add_response("list_event_source_mappings", {"EventSourceMappings": [source("Disabled", BatchSize=1)]})
        stub.add_response("list_tags", {"Tags": NAMES.tags})
        stub.add_response("get_event_source_mapping", source("Disabled"))
        stub.add_response("update_event_source_mapping", source("Enabling"))
        stub.add_response("get_event_source_mapping", source("Enabled"))
        assert queues.ensure_event_source(client, NAMES, QUEUE, "s-answer") == "updated"
        stub.add_response("list_event_source_mappings", {"EventSourceMappings": [source("Deleting")]})
        stub.add_client_error("get_event_source_mapping", "ResourceNotFoundException", "", 404)
        stub.add_response("create_event_source_mapping", source("Creating"))
        stub.add_response("get_event_source_mapping", source("Enabled"))
        assert queues.ensure_event_source(client, NAMES, QUEUE, "s-answer") == "created"
        stub.assert_no_pending_responses()


def test_an_event_source_of_somebody_else_is_left_alone() -> None:
    client = boto3.client("lambda")
    with Stubber(client) as stub:
        stub.add_response("list_event_source_mappings", {"EventSourceMappings": [source("Enabled")]})
        stub.add_response("list_tags", {"Tags": {}})
        with pytest.raises(RefusedError, match="not part of stack"):
            queues.ensure_event_source(client, NAMES, QUEUE, "s-answer")


# Who vouches for tokens


def test_a_stack_makes_its_own_user_pool_once_and_takes_it_along(session: AwsSession, names: StackNames) -> None:
    first = run(session, names.stack, USERS)
    again = run(session, names.stack, USERS)
    assert first.user_pool_id == again.user_pool_id
    assert authorizer(session, names) == {
        "LEGACY_WS_COGNITO_USER_POOL_ID": first.user_pool_id,
        "LEGACY_WS_COGNITO_CLIENT_ID": first.user_pool_client_id,
    }
    cognito = session.client("cognito-idp")
    cognito.admin_create_user(UserPoolId=first.user_pool_id, Username="a@b.example", MessageAction="SUPPRESS")
    cognito.admin_set_user_password(
        UserPoolId=first.user_pool_id, Username="a@b.example", Password="Str0ng-enough!", Permanent=True
    )
    signed_in = cognito.admin_initiate_auth(
        UserPoolId=first.user_pool_id,
        ClientId=first.user_pool_client_id,
        AuthFlow="ADMIN_USER_PASSWORD_AUTH",
        AuthParameters={"USERNAME": "a@b.example", "PASSWORD": "Str0ng-enough!"},
    )
    assert signed_in["AuthenticationResult"]["AccessToken"]
    owned = take(session, names).owned
    assert [(one.kind, one.name) for one in owned][-1] == ("user pool", f"{names.stack}-users")
    destroy(session, owned, lambda *_: None)
    with pytest.raises(ClientError, match="ResourceNotFound"):
        cognito.describe_user_pool(UserPoolId=first.user_pool_id)


def test_a_user_pool_that_is_given_is_used_kept_and_never_deleted(session: AwsSession, names: StackNames) -> None:
    cognito = session.client("cognito-idp")
    theirs = cognito.create_user_pool(PoolName=names.user_pool)["UserPool"]["Id"]
    client = cognito.create_user_pool_client(UserPoolId=theirs, ClientName="web")["UserPoolClient"]["ClientId"]
    run(session, names.stack, USERS, user_pool_id=theirs, user_pool_client_id=client)
    wanted = {"LEGACY_WS_COGNITO_USER_POOL_ID": theirs, "LEGACY_WS_COGNITO_CLIENT_ID": client}
    assert authorizer(session, names) == wanted
    again = run(session, names.stack, USERS)  # the option was left out
    assert authorizer(session, names) == wanted
    assert again.user_pool_id == theirs
    run(session, names.stack, USERS, user_pool_id=theirs)
    assert authorizer(session, names) == wanted, "whose client counts is not forgotten"
    run(session, names.stack, USERS, user_pool_id=theirs, user_pool_client_id="")
    assert authorizer(session, names) == {"LEGACY_WS_COGNITO_USER_POOL_ID": theirs}
    assert user_pool.own_user_pool(cognito, names) is None
    assert len(cognito.list_user_pool_clients(UserPoolId=theirs, MaxResults=60)["UserPoolClients"]) == 1
    destroy(session, take(session, names).owned, lambda *_: None)
    assert cognito.describe_user_pool(UserPoolId=theirs)["UserPool"]["Name"] == names.user_pool
    cognito.delete_user_pool(UserPoolId=theirs)


def test_with_a_jwks_there_is_no_secret(session: AwsSession, names: StackNames) -> None:
    secrets: list[str] = []

    def again(**options: Any) -> dict[str, str]:
        deploy(
            session,
            names.stack,
            SIGNED,
            DeployOptions(**options),
            report=lambda *_: None,
            secret_made=secrets.append,
        )
        return authorizer(session, names)

    jwks = {"LEGACY_WS_JWKS_URL": "https://id.example/keys"}
    assert again(jwks_url="https://id.example/keys", jwt_audience="chat") == {
        **jwks,
        "LEGACY_WS_JWT_AUDIENCE": "chat",
    }
    assert again() == {**jwks, "LEGACY_WS_JWT_AUDIENCE": "chat"}
    assert again(jwt_audience="") == jwks
    assert secrets == []
    assert again(jwt_secret="s" * 40) == {"LEGACY_WS_JWT_SECRET": "s" * 40}
    assert again() == {"LEGACY_WS_JWT_SECRET": "s" * 40}
    assert again(jwks_url="https://id.example/keys") == jwks


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"jwks_url": "http://id.example/keys"}, "no usable JWKS"),
        ({"jwks_url": "https://id.example/keys", "jwt_secret": "s" * 40}, "both"),
        ({"user_pool_id": "users"}, "no user pool id"),
        # What the authorizer would refuse at every handshake is refused here.
        ({"user_pool_id": "AP-northeast-1_AbCdEfGhI"}, "no user pool id"),
        ({"user_pool_id": f"ap-northeast-1_{'x' * 46}"}, "no user pool id"),
        ({"user_pool_client_id": "abc"}, "without --user-pool-id"),
        ({"stage": "a/b"}, "no name of a stage"),
        ({"stage": ""}, "no name of a stage"),
        ({"throttle_rate": 0.0}, "let nobody say anything"),
        ({"throttle_rate": float("nan")}, "let nobody say anything"),
        ({"throttle_burst": -1}, "let nobody say anything"),
        ({"environment": {"LEGACY_WS_FANOUT_WORKERS": "many"}}, "must be a whole number"),
        ({"environment": {"LEGACY_WS_CONNECTION_TTL_S": "60"}}, "must be at least"),
        ({"environment": {"LEGACY_WS_FANOUT_WORKER": "4"}}, "there is no setting"),
        ({"environment": {"AWS_REGION": "x"}}, "reserved"),
        ({"environment": {"LAMBDA_TASK_ROOT": "x"}}, "reserved"),
        ({"environment": {"_HANDLER": "x"}}, "no name of a variable"),
        ({"environment": {"LEGACY_WS_JWT_AUDIENCE": "chat"}}, "every function"),
        ({"environment": {"WS2SSE_TEE_HANDLER": "x"}}, "belongs to the tee"),
    ],
)
def test_wrong_options_are_said_before_anything_is_made(options: dict[str, object], why: str) -> None:
    with pytest.raises(UsageError, match=why):
        DeployOptions(**options)  # type: ignore[arg-type]


def test_options_of_the_other_kind_of_authorization_are_said() -> None:
    with pytest.raises(UsageError, match="asks no user pool"):
        DeployOptions(user_pool_id="ap-northeast-1_x").check(ROOMS)
    with pytest.raises(UsageError, match="reads no JWKS"):
        DeployOptions(jwks_url="https://id.example/keys").check(USERS)
    for name, value in (("jwt_secret", "s" * 40), ("jwt_issuer", "i"), ("jwt_audience", "a")):
        with pytest.raises(UsageError, match=f"--{name.replace('_', '-')} would change nothing"):
            DeployOptions(**{name: value}).check(USERS)  # type: ignore[arg-type]
    # A secret may well stand in the environment of somebody who deploys several applications.
    ambient = DeployOptions(jwt_secret="s" * 40, ambient=frozenset({"jwt_secret"})).fitting(USERS)
    assert ambient.jwt_secret is None
    with pytest.raises(UsageError, match="set by itself"):
        DeployOptions(environment={"LEGACY_WS_MESSAGES_TABLE": "mine"}).check(ROOMS)


def test_a_misspelt_setting_is_told_its_name() -> None:
    with pytest.raises(UsageError) as caught:
        DeployOptions(environment={"LEGACY_WS_FANOUT_WORKER": "4"})
    assert caught.value.hint == "did you mean LEGACY_WS_FANOUT_WORKERS?"


@pytest.mark.parametrize(
    "options",
    [{"user_pool_id": "ap-northeast-1_nowhere"}, {"user_pool_id": "pool", "user_pool_client_id": "nobody"}],
)
def test_a_user_pool_that_is_not_there_is_said_before_anything_is_made(
    session: AwsSession, names: StackNames, options: dict[str, str]
) -> None:
    cognito = session.client("cognito-idp")
    pool = cognito.create_user_pool(PoolName="theirs")["UserPool"]["Id"]
    if options["user_pool_id"] == "pool":
        options = {**options, "user_pool_id": pool}
    with pytest.raises(UsageError, match="there is no"):
        run(session, names.stack, USERS, **options)
    assert take(session, names).owned == []
    cognito.delete_user_pool(UserPoolId=pool)


def test_a_user_pool_that_may_not_be_looked_at_is_believed_with_a_note() -> None:
    client, notes = boto3.client("cognito-idp"), list[str]()
    with Stubber(client) as stub:
        stub.add_client_error("describe_user_pool", "AccessDeniedException", "no", 400)
        user_pool.require_user_pool(client, "ap-northeast-1_x", None, notes.append)
    assert "ap-northeast-1_x" in notes[0]


# Two deployments at once


def test_a_permission_that_somebody_else_made_meanwhile_is_unchanged() -> None:
    """The policy was read before, the statement came in between."""
    client = boto3.client("lambda")
    source = "arn:aws:execute-api:ap-northeast-1:000000000000:api/*/$connect"
    there = json.dumps({"Statement": [{"Sid": "s", "Condition": {"ArnLike": {"AWS:SourceArn": source}}}]})
    with Stubber(client) as stub:
        stub.add_client_error("get_policy", "ResourceNotFoundException", "", 404)
        stub.add_client_error("add_permission", "ResourceConflictException", "exists", 409)
        stub.add_response("get_policy", {"Policy": there})
        step = Step("permission", "f", lambda: ensure_permission(client, "f", "s", source))
        done = run_steps([step], lambda *_: None)
        stub.assert_no_pending_responses()
    assert [one.action for one in done] == ["unchanged"]


def test_a_race_that_is_lost_twice_says_what_goes_on() -> None:
    client = boto3.client("iam")
    with Stubber(client) as stub:
        for _ in range(2):
            stub.add_client_error("create_role", "EntityAlreadyExists", "there", 409)

        def ensure() -> Any:
            client.create_role(RoleName="r", AssumeRolePolicyDocument="{}")

        with pytest.raises(StepFailedError) as caught:
            run_steps([Step("role", "r", ensure)], lambda *_: None)
    assert caught.value.exit_code == 1
    assert "another deploy of this stack seems to run" in str(caught.value.hint)


# Access log


def test_the_access_log_names_no_token() -> None:
    """Faults 13 and 14: neither the query string, nor what the authorizer made of the token."""
    assert "$context.connectionId" in ACCESS_LOG_FORMAT
    assert "$context.status" in ACCESS_LOG_FORMAT
    for word in ("authorizer", "query", "header", "path", "body"):
        assert word not in ACCESS_LOG_FORMAT.lower()


def test_an_account_without_a_role_for_logs_is_told_what_to_do() -> None:
    """API Gateway writes logs by a role of the account; it is not ours to set."""
    client = boto3.client("apigatewayv2")
    why = "CloudWatch Logs role ARN must be set in account settings to enable logging"
    shape = stage_shape(NAMES, rate=1.0, burst=1, access_log=True)
    with Stubber(client) as stub:
        stub.add_client_error("get_stage", "NotFoundException", "", 404)
        stub.add_client_error("create_stage", "BadRequestException", why, 400)
        with pytest.raises(StepFailedError, match="no CloudWatch role") as caught:
            ensure_stage(client, NAMES, "api", "prod", "d", shape)
    assert "--no-access-log" in str(caught.value.hint)
    assert caught.value.exit_code == 2


def test_an_access_log_that_is_no_longer_wanted_is_switched_off() -> None:
    client = boto3.client("apigatewayv2")
    with_log = stage_shape(NAMES, rate=1.0, burst=1, access_log=True)
    without = stage_shape(NAMES, rate=1.0, burst=1, access_log=False)
    with Stubber(client) as stub:
        stub.add_response("get_stage", {"StageName": "prod", "DeploymentId": "d", **with_log})
        stub.add_response("delete_access_log_settings", {})
        assert ensure_stage(client, NAMES, "api", "prod", "d", without) == "updated"
        stub.assert_no_pending_responses()


# Routes of somebody's own


def test_another_function_behind_a_route_changes_nothing_about_who_may_call_it(session: AwsSession) -> None:
    """CL2: an IAM-guarded route stays guarded."""
    client = session.client("apigatewayv2")
    api = client.create_api(Name="iam", ProtocolType="WEBSOCKET", RouteSelectionExpression="$request.body.action")[
        "ApiId"
    ]
    client.create_route(ApiId=api, RouteKey="$connect", AuthorizationType="AWS_IAM", Target="integrations/one")
    assert ensure_target(client, api, "$connect", "two") == "updated"
    assert ensure_target(client, api, "$connect", "two") == "unchanged"
    assert ensure_target(client, api, "echo", "two") == "created"
    assert [ensure_two_way(client, api, "echo") for _ in range(2)] == ["updated", "unchanged"]
    routes = {one["RouteKey"]: one for one in client.get_routes(ApiId=api)["Items"]}
    assert routes["$connect"]["AuthorizationType"] == "AWS_IAM"
    assert routes["$connect"]["Target"] == "integrations/two"
    assert routes["echo"]["RouteResponseSelectionExpression"] == "$default"
    client.delete_api(ApiId=api)
