"""Identity sources, policies and contexts of REQUEST authorizers (WL4; issue 2, "Bad input")."""

import json
from dataclasses import replace
from typing import Any

import pytest

from sse_service.connections.authorizer import (
    Grant,
    evaluate_failure,
    evaluate_policy,
    evaluate_result,
    identity_sources_present,
    wildcard_match,
)
from sse_service.connections.events import ConnectionFacts, Handshake
from sse_service.connections.frames import AUTHORIZER_FAILED, DENIED, NOT_ALLOWED, UNAUTHORIZED

ARN = "arn:aws:execute-api:us-east-1:123456789012:abcdef123/prod/$connect"
FACTS = ConnectionFacts(
    "abcdef123", "prod", "BFaT_fALIAMCKug=", 1, "d", "10.0.0.1", "curl", None, {"flag": "on", "no": ""}
)
HANDSHAKE = Handshake([("Auth", "x"), ("Empty", "")], "token=t&blank=")


@pytest.mark.parametrize(
    ("sources", "present"),
    [
        ([], True),
        (["route.request.header.Auth"], True),
        (["route.request.header.auth"], True),
        (["route.request.querystring.token"], True),
        (["route.request.header.Auth", "route.request.querystring.token"], True),
        (["route.request.header.Auth, route.request.querystring.token"], True),
        (["route.request.header.Auth", "route.request.querystring.missing"], False),
        (["route.request.header.Missing"], False),
        (["route.request.header.Empty"], False),
        (["route.request.querystring.blank"], False),
        (["route.request.querystring.Token"], False),
        (["stageVariables.flag"], True),
        (["stageVariables.no"], False),
        (["stageVariables.other"], False),
        (["context.identity.sourceIp"], True),
        (["context.unknown"], False),
        (["nonsense"], False),
    ],
)
def test_identity_sources(sources: list[str], present: bool) -> None:
    """All must be "present in the request, not null, and non-empty"; header names in any spelling."""
    assert identity_sources_present(sources, FACTS, HANDSHAKE) is present


def statement(
    effect: str = "Allow", resource: Any = ARN, action: Any = "execute-api:Invoke", **more: Any
) -> dict[str, Any]:
    return {"Effect": effect, "Action": action, "Resource": resource, **more}


@pytest.mark.parametrize(
    ("statements", "verdict"),
    [
        ([statement()], True),
        (statement(), True),
        ([statement(resource="*")], True),
        ([statement(resource="arn:aws:execute-api:us-east-1:*:abcdef123/prod/*")], True),
        ([statement(resource="arn:aws:execute-api:*")], True),
        ([statement(resource=ARN.replace("prod", "pr?d"))], True),
        ([statement(resource=["nothing", ARN])], True),
        ([statement(action="execute-api:*")], True),
        ([statement(action="EXECUTE-API:invoke")], True),
        ([statement(action=["s3:Get*", "*"])], True),
        ([statement(action="execute-api:ManageConnections")], NOT_ALLOWED),
        ([statement(resource=ARN.replace("prod", "beta"))], NOT_ALLOWED),
        ([statement(resource=ARN.upper())], NOT_ALLOWED),
        ([], NOT_ALLOWED),
        ([statement("Deny")], DENIED),
        ([statement(), statement("Deny")], DENIED),
        ([statement("Deny"), statement()], DENIED),
        ([statement("Deny", resource="other"), statement()], True),
        ([{"Effect": "Allow", "NotAction": "s3:*", "Resource": ARN}], True),
        ([{"Effect": "Allow", "NotAction": "execute-api:*", "Resource": ARN}], NOT_ALLOWED),
        ([{"Effect": "Allow", "Action": "*", "NotResource": "x"}], True),
        ([{"Effect": "Allow", "Action": "*", "NotResource": ARN}], NOT_ALLOWED),
        ([statement(Condition={"IpAddress": {"aws:SourceIp": "10.0.0.0/8"}})], NOT_ALLOWED),
        ([statement(), statement("Deny", Condition={"Bool": {"x": "true"}})], DENIED),
        ([{"Effect": "allow", "Action": "*", "Resource": "*"}], None),
        (["text"], None),
        ("text", None),
        (None, None),
        ([{"Effect": "Allow"}], NOT_ALLOWED),
    ],
)
def test_policies(statements: Any, verdict: Any) -> None:
    """Explicit deny beats allow, nothing matching is a deny, a malformed document is the authorizer's
    failure."""
    assert evaluate_policy({"Version": "2012-10-17", "Statement": statements}, ARN) == verdict


@pytest.mark.parametrize("document", [None, [], "allow", 1, {}])
def test_documents_that_are_none(document: Any) -> None:
    """No policy, no judgement."""
    assert evaluate_policy(document, ARN) is None


def answer(**more: Any) -> bytes:
    return json.dumps({"principalId": "u", "policyDocument": {"Statement": [statement()]}, **more}).encode()


def test_context_values_become_strings() -> None:
    """The mapping template reference: "value", "1", "true"."""
    context = {"stringKey": "value", "numberKey": 1, "half": 1.5, "booleanKey": True, "gone": None}
    assert evaluate_result(answer(context=context), ARN, max_bytes=8192) == Grant(
        {"principalId": "u", "stringKey": "value", "numberKey": "1", "half": "1.5", "booleanKey": "true"}
    )


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"null",
        b"true",
        b'"Allow"',
        b"{}",
        b"\xff",
        answer(context={"nested": {"a": 1}}),
        answer(context={"list": [1]}),
        answer(context=[]),
        answer(principalId=None),
        answer(principalId={"a": 1}),
        answer(policyDocument=None),
        answer(context={"big": "x" * 8192}),
        b"[" * 5000,
    ],
)
def test_answers_that_are_the_authorizers_failure(payload: bytes) -> None:
    """500, as AUTHORIZER_FAILURE and AUTHORIZER_CONFIGURATION_ERROR are."""
    assert evaluate_result(payload, ARN, max_bytes=8192) == AUTHORIZER_FAILED


def test_refusals_keep_their_kind() -> None:
    """403 for a deny, with or without a statement that says so."""
    denied = json.dumps({"principalId": "u", "policyDocument": {"Statement": [statement("Deny")]}}).encode()
    assert evaluate_result(denied, ARN, max_bytes=8192) == DENIED
    nothing = json.dumps({"principalId": "u", "policyDocument": {"Statement": []}}).encode()
    assert evaluate_result(nothing, ARN, max_bytes=8192) == NOT_ALLOWED


@pytest.mark.parametrize(
    ("payload", "refusal"),
    [
        (b'{"errorMessage": "Unauthorized", "errorType": "Exception"}', UNAUTHORIZED),
        (b'{"errorMessage": "unauthorized"}', AUTHORIZER_FAILED),
        (b'{"errorMessage": "Unauthorized: expired"}', AUTHORIZER_FAILED),
        (b'{"errorMessage": "boom"}', AUTHORIZER_FAILED),
        (b"not json", AUTHORIZER_FAILED),
        (b"[]", AUTHORIZER_FAILED),
    ],
)
def test_failures(payload: bytes, refusal: Any) -> None:
    """Exactly "Unauthorized" is 401, any other failure 500."""
    assert evaluate_failure(payload) == refusal


@pytest.mark.parametrize(
    ("pattern", "text", "matches"),
    [
        ("*", "", True),
        ("", "", True),
        ("", "a", False),
        ("a*c", "abbbc", True),
        ("a*c", "abbbcd", False),
        ("a?c", "abc", True),
        ("a?c", "ac", False),
        ("**a**", "xxaxx", True),
        ("*b*d", "abcd", True),
        ("[a]", "a", False),
        ("a.c", "abc", False),
    ],
)
def test_wildcards(pattern: str, text: str, matches: bool) -> None:
    """Only `*` and `?` are special."""
    assert wildcard_match(pattern, text) is matches


def test_wildcards_of_a_hostile_pattern_end() -> None:
    """No exponential search."""
    assert wildcard_match("*a" * 400 + "b", "a" * 1500) is False


def test_context_source_of_a_missing_user_agent() -> None:
    """A context value that is not there counts as missing."""
    assert not identity_sources_present(["context.identity.userAgent"], replace(FACTS, user_agent=None), HANDSHAKE)
