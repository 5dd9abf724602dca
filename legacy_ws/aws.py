"""The only module that imports boto3: clients, and AWS's errors in our words. until phase 3

Clients are made once per execution environment and kept (AWS Lambda developer guide, "Best practices for
working with AWS Lambda functions": initialise SDK clients outside of the handler), with timeouts far below
Lambda's own.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies_environment

import boto3
from botocore import UNSIGNED
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectionClosedError,
    ConnectTimeoutError,
    EndpointConnectionError,
    HTTPClientError,
    InvalidRegionError,
    NoCredentialsError,
    NoRegionError,
    PartialCredentialsError,
    ProfileNotFound,
    ReadTimeoutError,
    TokenRetrievalError,
)
from botocore.exceptions import ConnectionError as BotoConnectionError

from legacy_ws.errors import (
    ConnectionGoneError,
    HandOffError,
    IdentityProviderError,
    LegacyWsError,
    SendFailedError,
    TokenRefusedError,
    UsageError,
)
from legacy_ws.redact import redact_text

__all__ = [
    "AWS_ERRORS",
    "AsyncFunction",
    "AwsSession",
    "FifoQueue",
    "ManagementApi",
    "PoolUsers",
    "clear_clients",
    "dynamodb",
    "error_code",
    "explain",
    "fifo_queue",
    "function",
    "management",
    "pool_users",
]

AWS_ERRORS = (ClientError, BotoCoreError)

_MAX_POOL = 64
_clients: dict[tuple[str, str | None, str | None], Any] = {}


def dynamodb() -> Any:
    """The DynamoDB client of this execution environment."""
    return _client("dynamodb", None, total_max_attempts=4)


def management(url: str) -> ManagementApi:
    """The `@connections` API at `url`.

    The client does not retry by itself: the connection manager does, with its own limit in time.
    """
    return ManagementApi(_client("apigatewaymanagementapi", url, total_max_attempts=1))


def function(name: str) -> AsyncFunction:
    """The Lambda function `name`, to be handed jobs."""
    return AsyncFunction(_client("lambda", None, total_max_attempts=3), name)


def fifo_queue(url: str) -> FifoQueue:
    """The FIFO queue at `url`."""
    return FifoQueue(_client("sqs", None, total_max_attempts=4), url)


def pool_users(region: str) -> PoolUsers:
    """The users of Cognito's user pools in `region`. Requests are unsigned: a token speaks for itself, and the function
    needs no permission.
    """
    # Together below the authorizer function's own time limit (10 s), so that the failure is logged in our words.
    unsigned = Config(signature_version=UNSIGNED, read_timeout=2, region_name=region)
    return PoolUsers(_client("cognito-idp", None, total_max_attempts=2, more=unsigned))


def clear_clients() -> None:
    """Forget the clients made so far."""
    _clients.clear()


def _client(service: str, endpoint_url: str | None, *, total_max_attempts: int, more: Config | None = None) -> Any:
    """A client, made once; `more` goes over the settings that all of them have, `region_name` included."""
    key = (service, endpoint_url, more.region_name if more else None)
    client = _clients.get(key)
    if client is None:
        config = Config(
            connect_timeout=2,
            read_timeout=5,
            max_pool_connections=_MAX_POOL,
            retries={"mode": "standard", "total_max_attempts": total_max_attempts},
            tcp_keepalive=True,
        )
        if more is not None:
            config = config.merge(more)
        client = _clients[key] = boto3.client(service, endpoint_url=endpoint_url, config=config)
    return client


class ManagementApi:
    """`@connections` of one stage: post, get, disconnect, with AWS's errors in our words.

    Source: API Gateway developer guide, "Use @connections commands in your backend service"; API reference
    `PostToConnection` (GoneException 410, LimitExceededException 429, PayloadTooLargeException 413,
    ForbiddenException).
    """

    def __init__(self, client: Any) -> None:
        self._client = client

    def post(self, connection_id: str, data: bytes) -> None:
        """Send one frame. Raises: ConnectionGoneError, SendFailedError."""
        self._call("post_to_connection", connection_id, Data=data)

    def get(self, connection_id: str) -> dict[str, object]:
        """{"ConnectedAt": datetime, "LastActiveAt": datetime, "Identity": {...}}. Raises: as `post`."""
        answer: dict[str, object] = self._call("get_connection", connection_id)
        return answer

    def disconnect(self, connection_id: str) -> None:
        """Close the connection. Raises: as `post`."""
        self._call("delete_connection", connection_id)

    def _call(self, operation: str, connection_id: str, **arguments: object) -> Any:
        try:
            return getattr(self._client, operation)(ConnectionId=connection_id, **arguments)
        except ClientError as error:
            status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
            code = error_code(error) or str(status)
            if status == 410 or code == "GoneException":
                raise ConnectionGoneError(connection_id) from None
            retryable = status == 429 or status >= 500 or code in _THROTTLED
            detail = redact_text(str(error.response.get("Error", {}).get("Message") or ""))
            raise SendFailedError(connection_id, code, retryable=retryable, detail=detail) from None
        except (BotoConnectionError, HTTPClientError) as error:
            # Includes a timeout after the frame was sent: trying again may deliver it twice, giving up may
            # lose it. Frames carry ids, so twice is the lesser evil.
            raise SendFailedError(connection_id, type(error).__name__, retryable=True) from None
        except BotoCoreError as error:
            raise SendFailedError(connection_id, type(error).__name__, retryable=False) from None


class PoolUsers:
    """Users of Cognito's user pools, known by their access tokens.

    Source: Amazon Cognito user pools API reference, `GetUser`: NotAuthorizedException for a token that is forged,
    expired, revoked or without the scope aws.cognito.signin.user.admin; TooManyRequestsException;
    InternalErrorException.
    """

    def __init__(self, client: Any) -> None:
        self._client = client

    def attributes(self, token: str) -> dict[str, str]:
        """Attributes of the user behind an access token, of whatever pool of the region.

        Raises: TokenRefusedError: Cognito refuses the token. IdentityProviderError: Cognito did not answer, throttles,
            or refuses us and not the token.
        """
        try:
            answer = self._client.get_user(AccessToken=token)
        except ClientError as error:
            code = error_code(error) or "unknown"
            if code in _TOKEN_REFUSED:
                raise TokenRefusedError(code) from None
            raise IdentityProviderError("Cognito", code) from None
        except (BotoCoreError, HTTPClientError) as error:
            raise IdentityProviderError("Cognito", type(error).__name__) from None
        return {str(one["Name"]): str(one.get("Value", "")) for one in answer.get("UserAttributes", [])}


# InvalidParameterException: text that is no token at all.
_TOKEN_REFUSED = {
    "InvalidParameterException",
    "NotAuthorizedException",
    "PasswordResetRequiredException",
    "UserNotConfirmedException",
    "UserNotFoundException",
}


class AsyncFunction:
    """A Lambda function that is handed jobs and not waited for.

    Source: AWS Lambda API reference, `Invoke` (InvocationType=Event: 202, payload at most 1 MB; "Occasionally, your
    function may receive the same event multiple times, even if no error occurs").
    """

    def __init__(self, client: Any, name: str) -> None:
        self._client = client
        self._name = name

    def hand_over(self, payload: bytes) -> None:
        """Queue one invocation. Raises: HandOffError: Lambda did not take it."""
        target = f"function {self._name}"
        call = partial(self._client.invoke, FunctionName=self._name, InvocationType="Event", Payload=payload)
        status = _handed_over(target, call).get("StatusCode")
        if status != 202:
            raise HandOffError(target, f"status {status}")


class FifoQueue:
    """A FIFO queue of SQS that is written to.

    Source: Amazon SQS API reference, `SendMessage`: group and deduplication id have at most 128 characters, a message
    with a deduplication id of the last five minutes is accepted and not delivered again.
    """

    def __init__(self, client: Any, url: str) -> None:
        self._client = client
        self._url = url

    def send(self, body: str, *, group: str, deduplication: str) -> None:
        """Put one message behind the others of its group.

        The client tries again by itself; the deduplication id makes that safe. One message a call: of a batch, the
        middle could fail and the rest be taken, which would break the order.

        Raises: HandOffError: the queue did not take it.
        """
        call = partial(
            self._client.send_message,
            QueueUrl=self._url,
            MessageBody=body,
            MessageGroupId=group,
            MessageDeduplicationId=deduplication,
        )
        _handed_over("the answers queue", call)


def _handed_over(target: str, call: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    try:
        return call()
    except ClientError as error:
        raise HandOffError(target, error_code(error) or "unknown") from None
    except (BotoCoreError, HTTPClientError) as error:
        raise HandOffError(target, type(error).__name__) from None


_THROTTLED = {"LimitExceededException", "ThrottlingException", "TooManyRequestsException"}


# ap-northeast-1, us-gov-west-1: a form, and no list, which would not know the region of tomorrow.
_REGION = re.compile(r"[a-z]{2}(-[a-z]+)+-\d{1,2}")


class AwsSession:
    """Clients of the command line: one region, profile and endpoint for all of them.

    Args:
        region: None means AWS_DEFAULT_REGION or the profile's, else ap-northeast-1.
        profile: None means AWS_PROFILE.
        endpoint_url: None means AWS_ENDPOINT_URL, else AWS itself.
    Raises: UsageError: no such profile, or nothing that could be a region.
    """

    def __init__(self, region: str | None, profile: str | None, endpoint_url: str | None) -> None:
        try:
            self._session = boto3.session.Session(profile_name=profile)
        except ProfileNotFound as error:
            raise UsageError(str(error), "see `aws configure list-profiles`, or unset AWS_PROFILE") from None
        self.region: str = region or self._session.region_name or "ap-northeast-1"
        if not _REGION.fullmatch(self.region):
            raise UsageError(
                f"{self.region!r} is no AWS region",
                "it looks like ap-northeast-1: set AWS_DEFAULT_REGION or --region",
            )
        self.endpoint_url = endpoint_url
        self._made: dict[str, Any] = {}

    def client(self, service: str) -> Any:
        """The client of one service, made at first use. Raises: UsageError: region or endpoint are no such
        thing.
        """
        if service not in self._made:
            self._made[service] = self._make(service, self.endpoint_url)
        return self._made[service]

    def endpoint(self, service: str) -> str:
        """The address the service is called at."""
        return str(self.client(service).meta.endpoint_url)

    def management(self, url: str) -> ManagementApi:
        """`@connections` at `url`. Raises: UsageError: `url` is no URL."""
        return ManagementApi(self._make("apigatewaymanagementapi", url))

    def account(self) -> str:
        """The account's id."""
        account: str = self.client("sts").get_caller_identity()["Account"]
        return account

    def _make(self, service: str, endpoint_url: str | None) -> Any:
        config = Config(
            connect_timeout=5,
            read_timeout=60,
            retries={"mode": "standard", "total_max_attempts": 5},
            user_agent_extra="legacy-ws",
        )
        make = partial(self._session.client, service, region_name=self.region, endpoint_url=endpoint_url)
        try:
            client = make(config=config)
            if getproxies_environment() and _is_loopback(client.meta.endpoint_url):
                # The proxy of HTTP_PROXY knows nothing of this machine's ports. Only the client knows the address:
                # it may come from the environment or a profile.
                client = make(config=config.merge(Config(proxies={})))
            return client
        except InvalidRegionError:
            raise UsageError(f"{self.region!r} is no AWS region", "set AWS_DEFAULT_REGION or --region") from None
        except ValueError:  # botocore: "Invalid endpoint: ..."
            raise UsageError(
                f"{endpoint_url!r} is no URL", "pass http://HOST:PORT or https://HOST as --endpoint-url"
            ) from None


def _is_loopback(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def error_code(error: BaseException) -> str | None:
    """AWS's error code of a ClientError ("ResourceNotFoundException"), None for anything else."""
    response = getattr(error, "response", None)
    if not isinstance(response, Mapping):
        return None
    code = response.get("Error", {}).get("Code")
    return str(code) if code else None


def explain(error: BaseException, endpoint_url: str | None = None) -> LegacyWsError:
    """One of botocore's errors as one line and a hint."""
    if isinstance(error, NoCredentialsError | PartialCredentialsError | TokenRetrievalError):
        return UsageError(
            "no usable AWS credentials",
            "set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (any value for the local AWS)",
        )
    if isinstance(error, NoRegionError):
        return UsageError("no AWS region", "set AWS_DEFAULT_REGION")
    if isinstance(error, EndpointConnectionError | ConnectTimeoutError | ReadTimeoutError | ConnectionClosedError):
        endpoint_url = endpoint_url or _own_endpoint(error)
        target = endpoint_url or "AWS"
        return UsageError(
            f"{target} does not answer ({type(error).__name__})",
            "is the local AWS up (`migrate status`)? check --endpoint-url / AWS_ENDPOINT_URL"
            if endpoint_url
            else "check the network, AWS_DEFAULT_REGION and AWS_ENDPOINT_URL",
        )
    code = error_code(error)
    text = redact_text(str(error))
    if code is None:
        return LegacyWsError(text)
    if code in _DENIED:
        return UsageError(text, "these credentials may not do that: check AWS_PROFILE and its permissions")
    if code in _NOT_FOUND:
        return UsageError(text, "check the name and AWS_DEFAULT_REGION")
    if code in _INVALID:
        return UsageError(text, "AWS refuses that value: correct the argument that it names, then run it again")
    if code in _IN_USE:
        return UsageError(text, "it exists, or is being changed: look at it (`legacy-ws status`), then run it again")
    return LegacyWsError(text)


def _own_endpoint(error: BaseException) -> str | None:
    """The address botocore could not reach, when it is not AWS's own."""
    address = str(getattr(error, "kwargs", {}).get("endpoint_url") or "")
    return None if not address or ".amazonaws.com" in address or ".api.aws" in address else address.rstrip("/")


_NOT_FOUND = {"ResourceNotFoundException", "NotFoundException", "NoSuchEntity", "404"}
_INVALID = {
    "BadRequestException",
    "InvalidParameterValueException",
    "ValidationException",
}
_IN_USE = {"ConflictException", "ResourceConflictException", "ResourceInUseException"}
_DENIED = {
    "AccessDenied",
    "AccessDeniedException",
    "ExpiredToken",
    "ExpiredTokenException",
    "InvalidClientTokenId",
    "SignatureDoesNotMatch",
    "UnauthorizedOperation",
    "UnrecognizedClientException",
}
