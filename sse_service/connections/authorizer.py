"""Lambda REQUEST authorizers: identity sources before, evaluation of the answer after.

Sources:
- CreateAuthorizer, IdentitySource: "all of the identity-related request parameters are present in the
  request, not null, and non-empty. Only when this is true does the authorizer invoke the authorizer Lambda
  function. Otherwise, it returns a 401 Unauthorized response without calling the Lambda function."
- "Output from an API Gateway Lambda authorizer" (api-gateway-lambda-authorizer-output.html): principalId,
  policyDocument, context; "You can't set a JSON object or array as a valid value of any key in the context
  map".
- "WebSocket API mapping template reference": context values are stringified ("1", "true").
- Quotas page: result size 8 KB. "Gateway response types": AUTHORIZER_FAILURE and
  AUTHORIZER_CONFIGURATION_ERROR are 500, UNAUTHORIZED 401, ACCESS_DENIED 403. A function that fails with
  exactly "Unauthorized" gets 401.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from sse_service.connections.events import ConnectionFacts, Handshake
from sse_service.connections.frames import AUTHORIZER_FAILED, DENIED, NOT_ALLOWED, UNAUTHORIZED, Refusal
from sse_service.connections.jsonpath import parse_json

_INVOKE = "execute-api:Invoke"
_SOURCE = re.compile(
    r"(?:\$?(?:route\.)?request\.(?P<place>header|querystring)\.(?P<name>.+))"
    r"|(?:\$?stageVariables\.(?P<variable>.+))"
    r"|(?:\$?context\.(?P<context>.+))"
)


@dataclass(frozen=True)
class Grant:
    """The authorizer let the connection in; `context` goes into every event's `requestContext.authorizer`."""

    context: Mapping[str, str]


def identity_sources_present(sources: Sequence[str], facts: ConnectionFacts, handshake: Handshake) -> bool:
    """Whether every identity source has a non-empty value (one list entry may name several, comma
    separated)."""
    query = dict(handshake.query_pairs())
    for entry in sources:
        for source in (part.strip() for part in entry.split(",")):
            if source and not _source_value(source, facts, handshake, query):
                return False
    return True


def _source_value(source: str, facts: ConnectionFacts, handshake: Handshake, query: Mapping[str, str]) -> str | None:
    found = _SOURCE.fullmatch(source)
    if not found:
        return None
    if found["variable"]:
        return facts.stage_variables.get(found["variable"])
    if found["context"]:
        return _context_value(found["context"], facts)
    if found["place"] == "header":
        return handshake.header(found["name"])
    return query.get(found["name"])


def _context_value(name: str, facts: ConnectionFacts) -> str | None:
    return {
        "apiId": facts.api_id,
        "stage": facts.stage,
        "connectionId": facts.connection_id,
        "domainName": facts.domain_name,
        "identity.sourceIp": facts.source_ip,
        "identity.userAgent": facts.user_agent,
        "routeKey": "$connect",
        "eventType": "CONNECT",
    }.get(name)


def evaluate_failure(payload: bytes) -> Refusal:
    """What a failed authorizer function (X-Amz-Function-Error) means for the client."""
    try:
        failure = parse_json(payload.decode())
    except ValueError:
        return AUTHORIZER_FAILED
    if isinstance(failure, dict) and failure.get("errorMessage") == "Unauthorized":
        return UNAUTHORIZED
    return AUTHORIZER_FAILED


def evaluate_result(payload: bytes, arn: str, *, max_bytes: int) -> Grant | Refusal:
    """Judge an authorizer's answer for the method `arn`.

    Shape: {"principalId": str, "policyDocument": {"Version": str, "Statement": [...]}, "context": {str:
    scalar}}.
    """
    if len(payload) > max_bytes:
        return AUTHORIZER_FAILED
    try:
        answer = parse_json(payload.decode())
    except ValueError:
        return AUTHORIZER_FAILED
    if not isinstance(answer, dict):
        return AUTHORIZER_FAILED
    principal = answer.get("principalId")
    context = _stringified(answer.get("context"))
    verdict = evaluate_policy(answer.get("policyDocument"), arn)
    if not isinstance(principal, str | int) or context is None or verdict is None:
        return AUTHORIZER_FAILED
    if isinstance(verdict, Refusal):
        return verdict
    return Grant({"principalId": str(principal), **context})


def _stringified(context: Any) -> dict[str, str] | None:
    """The context with every value as a string; None when it is no flat map."""
    if context is None:
        return {}
    if not isinstance(context, dict):
        return None
    strings: dict[str, str] = {}
    for name, value in context.items():
        if isinstance(value, dict | list):
            return None
        if value is not None:
            strings[name] = value if isinstance(value, str) else json.dumps(value)
    return strings


def evaluate_policy(document: Any, arn: str) -> Literal[True] | Refusal | None:
    """True when allowed, the refusal when not, None when the document is malformed.

    An explicit deny wins over every allow; nothing that matches is a deny as well (IAM's evaluation logic).
    A statement with a Condition is not evaluated: its allow does not count, its deny does.
    """
    if not isinstance(document, dict):
        return None
    statements = document.get("Statement")
    if isinstance(statements, dict):
        statements = [statements]
    if not isinstance(statements, list):
        return None
    allowed = False
    for statement in statements:
        if not isinstance(statement, dict) or statement.get("Effect") not in ("Allow", "Deny"):
            return None
        if not _applies(statement, arn):
            continue
        if statement["Effect"] == "Deny":
            return DENIED
        if not statement.get("Condition"):
            allowed = True
    return True if allowed else NOT_ALLOWED


def _applies(statement: Mapping[str, Any], arn: str) -> bool:
    if "NotAction" in statement:
        action = not _matches_any(statement["NotAction"], _INVOKE, ignore_case=True)
    else:
        action = _matches_any(statement.get("Action"), _INVOKE, ignore_case=True)
    if "NotResource" in statement:
        return action and not _matches_any(statement["NotResource"], arn)
    return action and _matches_any(statement.get("Resource"), arn)


def _matches_any(patterns: Any, text: str, *, ignore_case: bool = False) -> bool:
    candidates = patterns if isinstance(patterns, list) else [patterns]
    return any(isinstance(item, str) and wildcard_match(item, text, ignore_case=ignore_case) for item in candidates)


def wildcard_match(pattern: str, text: str, *, ignore_case: bool = False) -> bool:
    """IAM wildcards: `*` is any run of characters (also across `/` and `:`), `?` any single one.

    Walks both texts once with one point to fall back to, so that a hostile pattern cannot take long.
    """
    if ignore_case:
        pattern, text = pattern.lower(), text.lower()
    at_pattern = at_text = 0
    star, resume = -1, 0
    while at_text < len(text):
        if at_pattern < len(pattern) and pattern[at_pattern] == "*":
            star, resume = at_pattern, at_text
            at_pattern += 1
        elif at_pattern < len(pattern) and pattern[at_pattern] in ("?", text[at_text]):
            at_pattern += 1
            at_text += 1
        elif star >= 0:
            resume += 1
            at_pattern, at_text = star + 1, resume
        else:
            return False
    return all(character == "*" for character in pattern[at_pattern:])
