"""The tee on deployed functions, and off them again: nobody's configuration is lost. until phase 3 (MG6)"""

import json
from collections.abc import Callable
from typing import Any

import boto3
import botocore.session
import pytest
from botocore.exceptions import ClientError

from migrate.tee.errors import FunctionBusyError, UnsuitableFunctionError
from migrate.tee.function_configuration import TeeSettings
from migrate.tee.install import functions_of_api, install_tee, is_installed, remove_tee
from migrate.tee.layers import layer_zip

REGION = "ap-northeast-1"


class Account:
    """An AWS account with functions; `answer` changes what Lambda says about one, `before` runs before a call."""

    def __init__(self) -> None:
        # A session of its own: the layer under test leaves hooks in those that come after it.
        self._session = boto3.Session(botocore_session=botocore.session.Session(), region_name=REGION)
        self._clients: dict[str, Any] = {}
        self.answers: dict[str, dict[str, Any]] = {}
        self.before: dict[str, Callable[[dict[str, Any]], None]] = {}
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.lambda_ = self.client("lambda")
        self.iam = self.client("iam")
        events = self.lambda_.meta.events
        events.register("after-call.lambda.GetFunctionConfiguration", self._answer)
        for service in ("lambda", "iam", "sqs"):
            self.client(service).meta.events.register("provide-client-params", self._called)

    def client(self, service: str) -> Any:
        if service not in self._clients:
            self._clients[service] = self._session.client(service)
        return self._clients[service]

    def _called(self, params: dict[str, Any], model: Any, **_: Any) -> None:
        self.calls.append((model.name, params))
        if model.name in self.before:
            self.before[model.name](params)

    def _answer(self, parsed: dict[str, Any], **_: Any) -> None:
        parsed.update(self.answers.get(parsed.get("FunctionName", ""), {}))

    def changes(self) -> list[str]:
        """What was called that changes something, in order."""
        return [name for name, _ in self.calls if not name.startswith(("Get", "List"))]

    def role(self, name: str) -> str:
        role = self.iam.create_role(RoleName=name, AssumeRolePolicyDocument="{}")
        return str(role["Role"]["Arn"])

    def function(self, name: str, role: str, **options: Any) -> str:
        made = self.lambda_.create_function(
            **{
                "FunctionName": name,
                "Role": role,
                "Runtime": "python3.11",
                "Handler": "app.handler",
                "Code": {"ZipFile": layer_zip()},
                "Environment": {"Variables": {"TABLE": "t"}},
                **options,
            }
        )
        return str(made["FunctionArn"])

    def of(self, name: str) -> tuple[str, dict[str, str], int]:
        """Handler, environment and number of layers."""
        now = self.lambda_.get_function_configuration(FunctionName=name)
        return now["Handler"], now.get("Environment", {}).get("Variables", {}), len(now.get("Layers", []))

    def policies(self, role: str) -> list[str]:
        return list(self.iam.list_role_policies(RoleName=role)["PolicyNames"])


OWN_POLICY = json.dumps(
    {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:GetObject", "Resource": "*"}]}
)
OWN = ("app.handler", {"TABLE": "t"}, 0)


@pytest.fixture
def account(aws: None) -> Account:
    return Account()


def test_on_and_off_leaves_nothing_behind(account: Account) -> None:
    """MG6: handler, environment, layers and policy are as they were; twice changes nothing more."""
    names = [account.function(name, account.role(f"role-{name}")) for name in ("f", "g")]
    installed = install_tee(account.client, names, "api1")
    assert installed.queue_url.endswith("/ws2sse-tee-api1.fifo")
    assert all(is_installed(account.lambda_, name) for name in names)
    handler, variables, layers = account.of("f")
    assert (handler, variables["TABLE"], layers) == ("ws2sse_tee.handler", "t", 1)
    assert variables["WS2SSE_TEE_HANDLER"] == "app.handler"
    assert variables["WS2SSE_TEE_API_ID"] == "api1"
    assert account.policies("role-f") == ["ws2sse-tee-api1"]
    account.calls.clear()
    again = install_tee(account.client, names, "api1")
    assert (again.queue_url, again.changed) == (installed.queue_url, ())
    assert "UpdateFunctionConfiguration" not in account.changes()
    assert "PublishLayerVersion" not in account.changes()
    assert remove_tee(account.client, names).changed == tuple(names)
    assert account.of("f") == account.of("g") == OWN
    assert account.policies("role-f") == account.policies("role-g") == []
    assert remove_tee(account.client, names).changed == ()


def test_each_api_has_its_own_queue_and_policy(account: Account) -> None:
    """MG6: two stacks of an account, even with one role, do not get in each other's way."""
    role = account.role("shared")
    first, second = account.function("f", role), account.function("g", role)
    one = install_tee(account.client, [first], "api1")
    two = install_tee(account.client, [second], "api2")
    assert one.queue_url != two.queue_url
    assert sorted(account.policies("shared")) == ["ws2sse-tee-api1", "ws2sse-tee-api2"]
    document = account.iam.get_role_policy(RoleName="shared", PolicyName="ws2sse-tee-api1")["PolicyDocument"]
    assert document["Statement"][0]["Resource"].endswith(":ws2sse-tee-api1.fifo")
    remove_tee(account.client, [first])
    assert account.policies("shared") == ["ws2sse-tee-api2"]
    assert is_installed(account.lambda_, second)


def test_a_shared_role_keeps_the_policy_while_it_is_needed(account: Account) -> None:
    """MG6: taking the tee off one function does not silence the others of its role."""
    role = account.role("shared")
    names = [account.function(name, role) for name in ("f", "g")]
    install_tee(account.client, names, "api1")
    remove_tee(account.client, names[:1])
    assert account.policies("shared") == ["ws2sse-tee-api1"]
    remove_tee(account.client, names[1:])
    assert account.policies("shared") == []


def test_other_policies_of_the_role_stay(account: Account) -> None:
    """MG6: only what is the tee's goes."""
    name = account.function("f", account.role("r"))
    account.iam.put_role_policy(RoleName="r", PolicyName="own", PolicyDocument=OWN_POLICY)
    install_tee(account.client, [name], "api1")
    remove_tee(account.client, [name])
    assert account.policies("r") == ["own"]


UNSUITABLE: list[tuple[dict[str, Any], str]] = [
    ({"Runtime": "nodejs14.x"}, "runtime is nodejs14.x"),
    ({"Runtime": "python3.8"}, "runtime is python3.8"),
    ({"PackageType": "Image", "Runtime": ""}, "container image"),
    ({"Environment": {"Error": {"ErrorCode": "AccessDeniedException", "Message": "KMS"}}}, "cannot be read"),
    ({"Handler": "ws2sse_tee.handler"}, "WS2SSE_TEE_HANDLER, which names its own, is missing"),
    ({"Version": "7"}, "published version 7"),
    ({"Layers": [{"Arn": f"arn:aws:lambda:{REGION}:1:layer:l{n}:1"} for n in range(5)]}, "5 layers"),
]


@pytest.mark.parametrize(("answer", "reason"), UNSUITABLE)
def test_an_unsuitable_function_is_refused_before_anything_is_changed(
    account: Account, answer: dict[str, Any], reason: str
) -> None:
    """MG6: all functions are looked at first; nothing is made, nobody's handler or variables are touched."""
    names = [account.function(name, account.role(f"role-{name}")) for name in ("f", "g")]
    account.answers["g"] = answer
    account.calls.clear()
    with pytest.raises(UnsuitableFunctionError, match=reason) as caught:
        install_tee(account.client, names, "api1")
    assert caught.value.hint
    assert account.changes() == []
    account.answers.clear()
    assert account.of("f") == account.of("g") == OWN
    assert account.client("sqs").list_queues().get("QueueUrls", []) == []


def test_a_function_that_is_gone(account: Account) -> None:
    """MG6: nothing can be put on it, and nothing is left to take off."""
    name = account.function("f", account.role("r"))
    with pytest.raises(UnsuitableFunctionError, match="no such function"):
        install_tee(account.client, [name, name + "-gone"], "api1")
    install_tee(account.client, [name], "api1")
    assert remove_tee(account.client, [name + "-gone", name]).changed == (name,)


def test_an_environment_that_cannot_be_read_is_not_written(account: Account) -> None:
    """MG6: without kms:Decrypt the tee stays where it is, and the function's variables with it."""
    name = account.function("f", account.role("r"))
    install_tee(account.client, [name], "api1")
    before = account.of("f")
    account.answers["f"] = {"Environment": {"Error": {"ErrorCode": "AccessDeniedException", "Message": "KMS"}}}
    with pytest.raises(UnsuitableFunctionError, match="AccessDeniedException"):
        remove_tee(account.client, [name])
    account.answers.clear()
    assert account.of("f") == before
    assert account.policies("r") == ["ws2sse-tee-api1"]


def test_a_handler_that_was_changed_meanwhile_stays(account: Account) -> None:
    """MG6: the remembered handler is not put over one that somebody deployed since; layer and variables go."""
    name = account.function("f", account.role("r"))
    install_tee(account.client, [name], "api1")
    account.lambda_.update_function_configuration(FunctionName=name, Handler="new.handler")
    assert remove_tee(account.client, [name]).changed == (name,)
    assert account.of("f") == ("new.handler", {"TABLE": "t"}, 0)
    assert account.policies("r") == []


def test_installing_again_remembers_the_new_handler(account: Account) -> None:
    """MG6: a handler that was changed meanwhile is the one that runs."""
    name = account.function("f", account.role("r"))
    install_tee(account.client, [name], "api1")
    account.lambda_.update_function_configuration(FunctionName=name, Handler="new.handler")
    install_tee(account.client, [name], "api1")
    assert account.of("f")[1]["WS2SSE_TEE_HANDLER"] == "new.handler"
    remove_tee(account.client, [name])
    assert account.of("f")[0] == "new.handler"


def test_layer_and_policy_go_also_when_the_variables_are_gone(account: Account) -> None:
    """MG6: a deployment that replaced handler and environment leaves a layer and a policy: they are found."""
    name = account.function("f", account.role("r"))
    install_tee(account.client, [name], "api1")
    account.lambda_.update_function_configuration(
        FunctionName=name, Handler="app.handler", Environment={"Variables": {"TABLE": "t"}}
    )
    assert account.of("f")[2] == 1
    assert remove_tee(account.client, [name]).changed == (name,)
    assert account.of("f") == OWN
    assert account.policies("r") == []


def test_a_handler_without_its_memory_is_refused_on_the_way_off(account: Account) -> None:
    """MG6: the function's own handler cannot be guessed; the other functions are not changed either."""
    names = [account.function(name, account.role(f"role-{name}")) for name in ("f", "g")]
    install_tee(account.client, names, "api1")
    account.lambda_.update_function_configuration(FunctionName="g", Environment={"Variables": {"TABLE": "t"}})
    account.calls.clear()
    with pytest.raises(UnsuitableFunctionError, match="is missing") as caught:
        remove_tee(account.client, names)
    assert "--handler" in str(caught.value.hint)
    assert account.changes() == []


class Killed(BaseException):
    """The process ends here."""


STEPS_ON = [
    ("CreateQueue", 1),
    ("PublishLayerVersion", 1),
    ("PutRolePolicy", 1),
    ("PutRolePolicy", 2),
    ("UpdateFunctionConfiguration", 1),
    ("UpdateFunctionConfiguration", 2),
]
STEPS_OFF = [(step, time) for step in ("UpdateFunctionConfiguration", "DeleteRolePolicy") for time in (1, 2)]


def killed_at(account: Account, step: str, time: int) -> None:
    left = [time]

    def kill(params: dict[str, Any]) -> None:
        left[0] -= 1
        if left[0] == 0:
            raise Killed

    account.before = {step: kill}


@pytest.mark.parametrize("again", [True, False])
@pytest.mark.parametrize(("step", "time"), STEPS_ON)
def test_a_kill_while_installing_is_mended_by_either_direction(
    account: Account, step: str, time: int, again: bool
) -> None:
    """MG6: run again it is complete; taken off instead, or after that, nothing is left."""
    names = [account.function(name, account.role(f"role-{name}")) for name in ("f", "g")]
    killed_at(account, step, time)
    with pytest.raises(Killed):
        install_tee(account.client, names, "api1")
    account.before = {}
    if again:
        install_tee(account.client, names, "api1")
        assert all(is_installed(account.lambda_, name) for name in names)
    remove_tee(account.client, names)
    assert account.of("f") == account.of("g") == OWN
    assert account.policies("role-f") == account.policies("role-g") == []


@pytest.mark.parametrize(("step", "time"), STEPS_OFF)
def test_a_kill_while_removing_is_mended_by_running_again(account: Account, step: str, time: int) -> None:
    """MG6: also when the handlers were back already and only a policy was left."""
    names = [account.function(name, account.role(f"role-{name}")) for name in ("f", "g")]
    install_tee(account.client, names, "api1")
    killed_at(account, step, time)
    with pytest.raises(Killed):
        remove_tee(account.client, names)
    account.before = {}
    remove_tee(account.client, names)
    assert account.of("f") == account.of("g") == OWN
    assert account.policies("role-f") == account.policies("role-g") == []


def test_somebody_elses_change_is_not_lost(account: Account) -> None:
    """MG6: the change names the revision that was looked at; refused, it is worked out anew."""
    name = account.function("f", account.role("r"))
    account.answers["f"] = {"RevisionId": "seen"}

    def changed_meanwhile(params: dict[str, Any]) -> None:
        assert params["RevisionId"] == "seen"
        account.before = {}
        account.lambda_.update_function_configuration(FunctionName=name, Environment={"Variables": {"NEW": "n"}})
        raise account.lambda_.exceptions.PreconditionFailedException(
            {"Error": {"Code": "PreconditionFailedException", "Message": ""}}, "UpdateFunctionConfiguration"
        )

    account.before = {"UpdateFunctionConfiguration": changed_meanwhile}
    install_tee(account.client, [name], "api1")
    assert account.of("f")[1]["NEW"] == "n"
    assert is_installed(account.lambda_, name)


def test_a_function_that_never_holds_still_is_reported(account: Account) -> None:
    """MG6: three attempts, then a sentence with a hint."""
    name = account.function("f", account.role("r"))

    def always_busy(params: dict[str, Any]) -> None:
        raise account.lambda_.exceptions.ResourceConflictException(
            {"Error": {"Code": "ResourceConflictException", "Message": ""}}, "UpdateFunctionConfiguration"
        )

    account.before = {"UpdateFunctionConfiguration": always_busy}
    with pytest.raises(FunctionBusyError, match="changed by somebody else") as caught:
        install_tee(account.client, [name], "api1")
    assert caught.value.hint
    assert account.changes().count("UpdateFunctionConfiguration") == 3


def test_errors_of_aws_are_not_taken_for_success(account: Account) -> None:
    """MG6: what is neither a conflict nor a missing thing is raised as it is."""
    name = account.function("f", account.role("r"))

    def denied(params: dict[str, Any]) -> None:
        raise ClientError({"Error": {"Code": "AccessDeniedException", "Message": ""}}, "UpdateFunctionConfiguration")

    account.before = {"UpdateFunctionConfiguration": denied}
    with pytest.raises(ClientError, match="AccessDenied"):
        install_tee(account.client, [name], "api1")
    assert account.of("f") == OWN


def test_a_function_of_two_apis_copies_for_one(account: Account) -> None:
    """MG6: the second API does not take it away from the first, unless that one is gone."""
    gateway = account.client("apigatewayv2")
    name = account.function("f", account.role("r"))
    uri = f"arn:aws:apigateway:{REGION}:lambda:path/2015-03-31/functions/{name}/invocations"
    first = gateway.create_api(Name="one", ProtocolType="WEBSOCKET", RouteSelectionExpression="$request.body.action")
    gateway.create_integration(ApiId=first["ApiId"], IntegrationType="AWS_PROXY", IntegrationUri=uri)
    assert functions_of_api(gateway, first["ApiId"]) == [name]
    install_tee(account.client, [name], first["ApiId"])
    with pytest.raises(UnsuitableFunctionError, match=f"queue of API {first['ApiId']}"):
        install_tee(account.client, [name], "second")
    assert account.of("f")[1]["WS2SSE_TEE_API_ID"] == first["ApiId"]
    gateway.delete_api(ApiId=first["ApiId"])
    install_tee(account.client, [name], "second")
    assert account.of("f")[1]["WS2SSE_TEE_QUEUE_URL"].endswith("-second.fifo")
    remove_tee(account.client, [name])
    assert account.policies("r") == []


class Kept:
    """Snapshots in memory."""

    def __init__(self) -> None:
        self.found: dict[str, dict[str, Any]] = {}

    def save(self, function: str, configuration: Any) -> None:
        self.found.setdefault(function, dict(configuration))

    def read(self, function: str) -> dict[str, Any] | None:
        return self.found.get(function)

    def forget(self, function: str) -> None:
        self.found.pop(function, None)


PASSING = ("RevisionId", "LastModified", "ResponseMetadata", "State", "LastUpdateStatus")


def lasting(account: Account, name: str) -> str:
    """The configuration as text, order included."""
    now = account.lambda_.get_function_configuration(FunctionName=name)
    return json.dumps({key: value for key, value in now.items() if key not in PASSING})


@pytest.mark.parametrize("runtime", ["python3.12", "nodejs22.x"])
def test_the_configuration_is_byte_for_byte_as_before(account: Account, runtime: str) -> None:
    """MG6: environment and its order, layers, description, time limit."""
    own = {"Z": "1", "A": "", "M": "日本語"}
    name = account.function(
        "f", account.role("r"), Runtime=runtime, Environment={"Variables": own}, Description="chat", Timeout=7
    )
    before, kept = lasting(account, name), Kept()
    settings = TeeSettings(answering=frozenset({"f"}), user="email")
    install_tee(account.client, [name], "api1", settings, kept)
    assert account.of("f")[1]["WS2SSE_TEE_ROLE"] == "answer"
    assert account.of("f")[1]["WS2SSE_TEE_USER"] == "email"
    install_tee(account.client, [name], "api1", settings, kept)
    assert remove_tee(account.client, [name], kept).different == {}
    assert lasting(account, name) == before
    assert kept.found == {}


def test_what_somebody_changed_meanwhile_is_told_and_kept(account: Account) -> None:
    """MG6: a deployment while the tee is on is not undone by taking it off."""
    name, kept = account.function("f", account.role("r")), Kept()
    install_tee(account.client, [name], "api1", None, kept)
    account.lambda_.update_function_configuration(FunctionName=name, Timeout=9)
    assert dict(remove_tee(account.client, [name], kept).different) == {name: ("Timeout",)}
    assert account.lambda_.get_function_configuration(FunctionName=name)["Timeout"] == 9
