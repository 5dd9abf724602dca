"""What becomes of back ends' answers, error frames, templates, and definitions in a file."""

import json

import pytest

from sse_service.connections.definition import (
    ApiDefinition,
    AuthorizationType,
    Authorizer,
    Integration,
    IntegrationResponse,
    IntegrationType,
    Route,
    StageSettings,
    Throttle,
    api_from_json,
    api_to_json,
    lambda_arn,
    substitute_stage_variables,
)
from sse_service.connections.errors import DefinitionError, MalformedProxyResponseError, UnsupportedTemplateError
from sse_service.connections.frames import GatewayError, Refusal, error_frame
from sse_service.connections.integration import (
    Accept,
    ProxyResponse,
    is_token,
    judge_connect,
    message_for_client,
    parse_proxy_response,
)
from sse_service.connections.templates import choose_response, choose_template, render


@pytest.mark.parametrize(
    ("payload", "response"),
    [
        ({"statusCode": 200}, ProxyResponse(200)),
        ({"statusCode": "204"}, ProxyResponse(204)),
        ({"statusCode": 500, "body": "no"}, ProxyResponse(500, "no")),
        ({"statusCode": 200, "body": None, "headers": None}, ProxyResponse(200)),
        ({"statusCode": 200, "headers": {"A": 1, "B": None}}, ProxyResponse(200, None, {"A": "1"})),
        ({"statusCode": 200, "multiValueHeaders": {"A": ["x", "y"]}}, ProxyResponse(200, None, {"A": "y"})),
    ],
)
def test_proxy_responses(payload: object, response: ProxyResponse) -> None:
    """The form of the Knowledge Center's page on malformed responses."""
    assert parse_proxy_response(json.dumps(payload).encode()) == response


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"null",
        b'"Hello"',
        b"[]",
        b"{}",
        b'{"statusCode": null}',
        b'{"statusCode": true}',
        b'{"statusCode": 99}',
        b'{"statusCode": 700}',
        b'{"statusCode": "abc"}',
        b'{"statusCode": 200.5}',
        b'{"statusCode": 200, "body": {"a": 1}}',
        b'{"statusCode": 200, "headers": []}',
        b'{"statusCode": 200, "headers": {"a": {}}}',
        b'{"body": "x"}',
        b"\xff\xfe",
    ],
)
def test_malformed_proxy_responses(payload: bytes) -> None:
    """A handler that returns None, a bare string or an object as body is malformed, as on AWS."""
    with pytest.raises(MalformedProxyResponseError):
        parse_proxy_response(payload)


@pytest.mark.parametrize("status", [200, 201, 299])
def test_connect_succeeds_with_any_2xx(status: int) -> None:
    """The status of `$connect`'s integration decides."""
    assert judge_connect(ProxyResponse(status)) == Accept()


@pytest.mark.parametrize("status", [199, 300, 400, 401, 403, 500, 503])
def test_connect_is_refused_with_the_integrations_status(status: int) -> None:
    """`wscat` shows it: "Unexpected server response: 400"; the handler's text stays inside."""
    refusal = judge_connect(ProxyResponse(status, "secret stack trace"))
    assert isinstance(refusal, Refusal)
    assert refusal.status == status
    assert b"secret" not in refusal.body("c", "r")


@pytest.mark.parametrize(
    ("headers", "protocol"),
    [
        ({"Sec-WebSocket-Protocol": "myprotocol"}, "myprotocol"),
        ({"sec-websocket-protocol": "v1.chat"}, "v1.chat"),
        ({}, None),
        ({"Sec-WebSocket-Protocol": ""}, None),
        ({"Sec-WebSocket-Protocol": "a\r\nX-Evil: 1"}, None),
        ({"Sec-WebSocket-Protocol": "a, b"}, None),
    ],
)
def test_subprotocol_comes_from_the_answer(headers: dict[str, str], protocol: str | None) -> None:
    """websocket-connect-route-subprotocol.html; nothing that is no token gets into the response head."""
    assert judge_connect(ProxyResponse(200, None, headers)) == Accept(protocol)


def test_tokens() -> None:
    assert is_token("graphql-transport-ws")
    assert not is_token("") and not is_token("a b") and not is_token("ü")


@pytest.mark.parametrize(
    ("response", "two_way", "frame"),
    [
        (ProxyResponse(200, "body"), True, "body"),
        (ProxyResponse(500, "body"), True, "body"),
        (ProxyResponse(200), True, ""),
        (ProxyResponse(200, "body"), False, None),
        (ProxyResponse(500, "body"), False, None),
    ],
)
def test_only_a_two_way_route_answers(response: ProxyResponse, two_way: bool, frame: str | None) -> None:
    """ "API Gateway will not pass the backend response through to the route response, unless you set up a
    route response"; with one the body goes out whatever the status."""
    assert message_for_client(response, two_way=two_way) == frame


@pytest.mark.parametrize("error", list(GatewayError))
def test_error_frames(error: GatewayError) -> None:
    """The recorded form, byte for byte, and JSON."""
    frame = error_frame(error, "Zq0lpfIyliACGbQ=", "Zq1LaGLQliAFsbA=")
    expected = f'{{"message": "{error}", "connectionId":"Zq0lpfIyliACGbQ=", "requestId":"Zq1LaGLQliAFsbA="}}'
    assert frame == expected.encode()
    assert json.loads(frame)["message"] == error.value


# --- templates -------------------------------------------------------------------------------------------

CONTEXT = {"connectionId": "C=", "identity": {"sourceIp": "10.0.0.1"}, "authorizer": {"userId": "u"}}


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("plain", "plain"),
        ('{"id":"$context.connectionId"}', '{"id":"C="}'),
        ("${context.identity.sourceIp}!", "10.0.0.1!"),
        ("$context.authorizer.userId", "u"),
        ("$context.nothing", ""),
        ("$input.body", '{"a": {"b": "x"}, "n": 1}'),
        ("$input.json('$')", '{"a": {"b": "x"}, "n": 1}'),
        ("$input.json('$.a')", '{"b": "x"}'),
        ("$input.path('$.a.b')", "x"),
        ("$input.json('$.none')", '""'),
        ("$stageVariables.v ${stageVariables['v']}", "1 1"),
        ('{"statusCode":200}', '{"statusCode":200}'),
        ("costs $5", "costs $5"),
    ],
)
def test_references(template: str, text: str) -> None:
    """The references of the mapping template reference that need no Velocity."""
    body = '{"a": {"b": "x"}, "n": 1}'
    assert render(template, body=body, context=CONTEXT, stage_variables={"v": "1"}) == text


@pytest.mark.parametrize(
    "template", ["#set($a = 1)", "#if(true)x#end", "$util.urlEncode('x')", "$unknown", "$input.json('$..a')"]
)
def test_what_cannot_be_rendered_is_not_half_rendered(template: str) -> None:
    with pytest.raises(UnsupportedTemplateError):
        render(template, body="{}", context=CONTEXT, stage_variables={})


def test_choice_of_templates_and_responses() -> None:
    """Selection expression, `$default`, the only one; a regular expression between slashes, then
    `$default`."""
    templates = {"a": "A", "$default": "D"}
    assert choose_template(templates, "${request.body.kind}", '{"kind": "a"}') == "A"
    assert choose_template(templates, "${request.body.kind}", '{"kind": "z"}') == "D"
    assert choose_template({"application/json": "J"}, r"\$default", "") == "J"
    assert choose_template({"a": "A", "b": "B"}, "", "") is None
    assert choose_template({}, "", "") is None
    fallback, clash = IntegrationResponse("$default"), IntegrationResponse("/4\\d\\d/")
    assert choose_response([fallback, clash], "404") is clash
    assert choose_response([fallback, clash], "200") is fallback
    assert choose_response([IntegrationResponse("/(/")], "x") is None


# --- definitions -----------------------------------------------------------------------------------------


def test_definition_round_trip() -> None:
    """A deployment survives the file it is kept in."""
    integration = Integration(
        "i1",
        IntegrationType.MOCK,
        templates={"$default": "{}"},
        responses=(IntegrationResponse("$default", {"a": "b"}),),
    )
    api = ApiDefinition(
        "api",
        routes={
            "$connect": Route("$connect", None, AuthorizationType.CUSTOM, "auth"),
            "x": Route("x", integration, two_way=True, api_key_required=True),
        },
        authorizers={"auth": Authorizer("auth", "uri", ("route.request.header.A",), "n")},
        name="name",
    )
    assert api_from_json(json.loads(json.dumps(api_to_json(api)))) == api


@pytest.mark.parametrize(
    "raw", [{}, {"api_id": "a"}, {"api_id": "a", "name": "", "route_selection": "", "routes": [], "authorizers": {}}]
)
def test_damaged_definitions(raw: dict[str, object]) -> None:
    with pytest.raises(DefinitionError):
        api_from_json(raw)


def test_uris() -> None:
    """Stage variables are put in first, then the function is found."""
    arn = "arn:aws:lambda:us-east-1:000000000000:function:f:live"
    uri = f"arn:aws:apigateway:us-east-1:lambda:path/2015-03-31/functions/{arn}/invocations"
    assert lambda_arn(uri) == arn
    assert lambda_arn(arn) == arn
    text = "function:${stageVariables.name}:${stageVariables['alias']}${stageVariables.none}"
    assert substitute_stage_variables(text, {"name": "f", "alias": "live"}) == "function:f:live"
    for wrong in ("", "http://x", "arn:aws:apigateway:us-east-1:sqs:action/SendMessage"):
        with pytest.raises(DefinitionError):
            lambda_arn(wrong)


def test_a_routes_own_throttle_wins() -> None:
    settings = StageSettings("prod", {}, Throttle(1, 2), {"x": Throttle(5, 6)})
    assert settings.throttle("x") == Throttle(5, 6)
    assert settings.throttle("y") == Throttle(1, 2)
    assert StageSettings("prod").throttle("x") is None
