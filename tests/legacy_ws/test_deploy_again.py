"""legacy_ws.deploy over a stack that is there (CL1): it stays what it is, with what it was given. until phase 3

On a real MiniStack. One test per thing that a redeploy with fewer options must not change.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import pytest

from legacy_ws.aws import AwsSession
from legacy_ws.deploy import stack as stack_module
from legacy_ws.deploy.apps import DIRECT, LAYERS, ROOMS
from legacy_ws.deploy.deployed import deployed_apps
from legacy_ws.deploy.destroy import destroy
from legacy_ws.deploy.inventory import take
from legacy_ws.deploy.options import DeployOptions
from legacy_ws.deploy.spec import AppSpec, StackNames
from legacy_ws.deploy.stack import Deployment, deploy, names_of
from legacy_ws.deploy.status import status_of
from legacy_ws.errors import RefusedError, UsageError

pytestmark = pytest.mark.integration

SECRET = "s" * 40
_numbers = itertools.count(1)


@pytest.fixture(scope="module", autouse=True)
def one_zip() -> Iterator[None]:
    """The package is the same throughout, even while somebody edits a file of it."""
    code = stack_module.build_zip()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stack_module, "build_zip", lambda: code)
        yield


@pytest.fixture
def session(ministack: str) -> AwsSession:
    return AwsSession("ap-northeast-1", None, ministack)


@pytest.fixture
def name(session: AwsSession) -> Iterator[str]:
    """A stack name of this test's own; whatever carries it is removed afterwards."""
    stack = f"again{next(_numbers)}"
    yield stack
    destroy(session, take(session, names_of(session, stack)).owned, lambda *_: None)


def run(session: AwsSession, stack: str, app: AppSpec | None = None, **options: Any) -> Deployment:
    notes = options.pop("notes", [])
    return deploy(
        session,
        stack,
        app,
        DeployOptions(**options),
        report=lambda *_: None,
        secret_made=lambda _: None,
        note=notes.append,
    )


def variables(session: AwsSession, stack: str, function: str) -> dict[str, str]:
    found = session.client("lambda").get_function_configuration(FunctionName=f"{stack}-{function}")
    environment: dict[str, str] = found["Environment"]["Variables"]
    return environment


@pytest.fixture
def older(session: AwsSession) -> Any:
    """Deploys as versions did that had no tag for the application."""

    def run_older(stack: str, app: AppSpec) -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(StackNames, "app_tags", StackNames.tags)
            run(session, stack, app)

    return run_older


def test_a_stack_stays_the_application_that_it_is(session: AwsSession, name: str) -> None:
    first = run(session, name, LAYERS, jwt_secret=SECRET)
    again = run(session, name)
    assert (again.app, again.api_id) == ("layers", first.api_id)
    assert {step.action for step in again.done} == {"unchanged", "done"}
    before = {(one.kind, one.name) for one in take(session, names_of(session, name)).owned}
    with pytest.raises(RefusedError, match="is the application layers, not rooms") as caught:
        run(session, name, ROOMS)
    assert "leave out --app" in str(caught.value.hint)
    assert {(one.kind, one.name) for one in take(session, names_of(session, name)).owned} == before
    found = status_of(session, names_of(session, name))
    assert found is not None
    assert found.app == "layers"


def test_a_stack_without_the_tag_is_known_by_its_tables_and_gets_it(session: AwsSession, name: str, older: Any) -> None:
    older(name, DIRECT)
    assert deployed_apps(session, names_of(session, name)) == {"direct"}
    with pytest.raises(RefusedError):
        run(session, name, ROOMS)
    again = run(session, name)
    assert again.app == "direct"
    assert [step.kind for step in again.done if step.action == "updated"] == ["api"]
    assert deployed_apps(session, names_of(session, name)) == {"direct"}
    assert {step.action for step in run(session, name).done} == {"unchanged", "done"}


def test_a_stack_with_parts_of_two_applications_has_to_be_told(session: AwsSession, name: str, older: Any) -> None:
    """As older versions left it: rooms deployed over layers."""
    older(name, LAYERS)
    session.client("dynamodb").create_table(
        TableName=f"{name}-Connections",
        KeySchema=[{"AttributeName": "connectionId", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "connectionId", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
        Tags=[{"Key": "ws2sse:stack", "Value": name}],
    )
    with pytest.raises(UsageError, match="several applications: layers, rooms") as caught:
        run(session, name)
    assert f"legacy-ws deploy {name} --app" in str(caught.value.hint)
    found = status_of(session, names_of(session, name))
    assert found is not None
    assert found.app is None
    assert run(session, name, LAYERS).app == "layers"
    assert run(session, name).app == "layers"


def test_only_functions_left_tell_the_application_too(session: AwsSession, name: str) -> None:
    api = run(session, name, DIRECT).api_id
    session.client("apigatewayv2").delete_api(ApiId=api)
    for table in ("connections", "messages"):
        session.client("dynamodb").delete_table(TableName=f"{name}-{table}")
    assert deployed_apps(session, names_of(session, name)) == {"direct"}


def test_what_tokens_must_be_like_is_not_forgotten(session: AwsSession, name: str) -> None:
    """A deployment without an option must not let in whom the one before kept out."""
    run(session, name, ROOMS, jwt_secret=SECRET, jwt_audience="chat", jwt_issuer="https://id.example")
    run(session, name)
    demanded = {"LEGACY_WS_JWT_AUDIENCE": "chat", "LEGACY_WS_JWT_ISSUER": "https://id.example"}
    assert demanded.items() <= variables(session, name, "authorizer").items()
    run(session, name, jwt_issuer="https://other.example")
    demanded["LEGACY_WS_JWT_ISSUER"] = "https://other.example"
    assert demanded.items() <= variables(session, name, "authorizer").items()
    run(session, name, jwt_audience="")
    kept = variables(session, name, "authorizer")
    assert "LEGACY_WS_JWT_AUDIENCE" not in kept
    assert (kept["LEGACY_WS_JWT_ISSUER"], kept["LEGACY_WS_JWT_SECRET"]) == ("https://other.example", SECRET)


def test_settings_stay_until_they_are_changed_or_taken_away(session: AwsSession, name: str) -> None:
    run(
        session,
        name,
        ROOMS,
        environment={"LEGACY_WS_FANOUT_WORKERS": "4", "MODEL": "small"},
        runtime="python3.12",
        throttle_rate=10.0,
        throttle_burst=20,
        access_log=False,
        stage="dev",
    )
    again = run(session, name)
    assert {step.action for step in again.done} == {"unchanged", "done"}
    assert again.stage == "dev"
    given = variables(session, name, "sendMessage")
    assert (given["LEGACY_WS_FANOUT_WORKERS"], given["MODEL"]) == ("4", "small")
    function = session.client("lambda").get_function_configuration(FunctionName=f"{name}-connect")
    assert function["Runtime"] == "python3.12"
    stage = session.client("apigatewayv2").get_stage(ApiId=again.api_id, StageName="dev")
    limits = stage["DefaultRouteSettings"]
    assert (limits["ThrottlingRateLimit"], limits["ThrottlingBurstLimit"]) == (10, 20)
    assert not stage.get("AccessLogSettings")

    run(session, name, environment={"LEGACY_WS_FANOUT_WORKERS": "", "MODEL": "large"}, throttle_rate=30.0)
    given = variables(session, name, "sendMessage")
    assert "LEGACY_WS_FANOUT_WORKERS" not in given
    assert given["MODEL"] == "large"
    limits = session.client("apigatewayv2").get_stage(ApiId=again.api_id, StageName="dev")["DefaultRouteSettings"]
    assert (limits["ThrottlingRateLimit"], limits["ThrottlingBurstLimit"]) == (30, 20)


def test_what_one_function_was_given_stays_its_own(session: AwsSession, name: str) -> None:
    """Somebody gave one function a key by hand; a function made later gets what all the others have."""
    run(session, name, ROOMS, environment={"LEGACY_WS_FANOUT_WORKERS": "4"})
    client = session.client("lambda")
    own = variables(session, name, "sendMessage") | {"API_SECRET": "k"}
    client.update_function_configuration(FunctionName=f"{name}-sendMessage", Environment={"Variables": own})
    client.delete_function(FunctionName=f"{name}-getHistory")
    run(session, name)
    assert variables(session, name, "sendMessage") == own
    made = variables(session, name, "getHistory")
    assert made["LEGACY_WS_FANOUT_WORKERS"] == "4"
    assert "API_SECRET" not in made


def test_a_secret_of_the_environment_does_not_replace_a_jwks(session: AwsSession, name: str) -> None:
    notes: list[str] = []
    run(session, name, ROOMS, jwks_url="http://127.0.0.1:9/keys")
    run(session, name, jwt_secret=SECRET, ambient=frozenset({"jwt_secret"}), notes=notes)
    assert variables(session, name, "authorizer")["LEGACY_WS_JWKS_URL"] == "http://127.0.0.1:9/keys"
    assert "LEGACY_WS_JWT_SECRET of the environment is not used" in notes[0]
    run(session, name, jwt_secret=SECRET)
    assert variables(session, name, "authorizer")["LEGACY_WS_JWT_SECRET"] == SECRET


def test_a_setting_that_the_functions_would_refuse_stops_before_anything_is_made(
    session: AwsSession, name: str
) -> None:
    with pytest.raises(UsageError, match="LEGACY_WS_CONNECTION_TTL_S must be at least"):
        run(session, name, ROOMS, environment={"LEGACY_WS_CONNECTION_TTL_S": "1"})
    assert take(session, names_of(session, name)).owned == []


def test_a_deployed_setting_that_is_wrong_by_now_is_said_with_the_way_out(session: AwsSession, name: str) -> None:
    run(session, name, ROOMS)
    client = session.client("lambda")
    own = variables(session, name, "connect") | {"LEGACY_WS_CONNECTION_TTL_S": "1"}
    client.update_function_configuration(FunctionName=f"{name}-connect", Environment={"Variables": own})
    with pytest.raises(UsageError, match="must be at least") as caught:
        run(session, name)
    assert "--env LEGACY_WS_CONNECTION_TTL_S= to go back" in str(caught.value.hint)
    run(session, name, environment={"LEGACY_WS_CONNECTION_TTL_S": ""})
    assert "LEGACY_WS_CONNECTION_TTL_S" not in variables(session, name, "connect")
