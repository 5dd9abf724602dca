"""What invokes functions besides the API, read from AWS and from files (MG1). until phase 3"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from typer.testing import CliRunner

from migrate.cli import app
from migrate.config import load_config
from migrate.config.model import EventSource, Function
from migrate.init.aws import read_aws
from migrate.init.check import findings
from migrate.init.facts import FunctionFact, StackFacts
from migrate.init.files import read_files
from migrate.init.guess import guess
from migrate.init.sources import of_arn, of_mapping
from migrate.tables import gateway

from .conftest import REGION, SECRET, Stack, client

ACCOUNT = "123456789012"


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def run(*arguments: str, code: int = 0) -> Any:
    done = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert done.exit_code == code, done.output
    return done


def described(name: str) -> Function:
    return next(one for one in load_config(Path("migrate.toml")).functions if one.name == name)


def fed(stack: Stack) -> str:
    """`their-send` puts jobs on a queue, and `their-oracle`, which is told of neither API nor table, answers them."""
    stack.table("app", ("connectionId", "S"))
    url = client("sqs").create_queue(QueueName="their-jobs")["QueueUrl"]
    arn = f"arn:aws:sqs:{REGION}:{ACCOUNT}:their-jobs"
    client("lambda").update_function_configuration(
        FunctionName="their-send", Environment={"Variables": {"TABLE": "app", "JOBS": url, "KEY": SECRET}}
    )
    oracle = stack.function("their-oracle", {})
    client("lambda").create_event_source_mapping(
        EventSourceArn=arn, FunctionName="their-oracle", BatchSize=5,
        FilterCriteria={"Filters": [{"Pattern": '{"body": {"kind": ["ask"]}}'}]},
    )  # fmt: skip
    return oracle


def test_a_function_that_a_queue_feeds_is_found_with_its_mapping(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    fed(stack)
    run("init", "--yes")
    oracle = described("their-oracle")
    assert oracle.role == "answer"
    [source] = oracle.event_sources
    assert (source.type, source.name, source.batch_size) == ("sqs", "their-jobs", 5)
    # A queue's address is no secret (the rehearsal's own takes its place), nor is a table's name; the rest stays away.
    assert described("their-send").env == {"JOBS": "{$queue_url.their-jobs}", "TABLE": "app"}
    assert SECRET not in Path("migrate.toml").read_text(encoding="utf-8")
    monkeypatch.setattr(gateway.Gateway, "ask", lambda self, one: gateway.Answer(gateway.Verdict.GONE))
    assert json.loads(run("check-config", "--json").stdout)["ok"] is True
    client("lambda").delete_event_source_mapping(
        UUID=client("lambda").list_event_source_mappings(FunctionName="their-oracle")["EventSourceMappings"][0]["UUID"]
    )
    # It is no function of the stack any more, as far as can be seen.
    assert "their-oracle is not there" in run("check-config", code=3).output


def test_rules_and_schedules_are_found_and_those_switched_off_are_only_noted(stack: Stack) -> None:
    arn = fed(stack)
    events, scheduler = client("events"), client("scheduler")
    for name, more in (
        ("hourly", {"ScheduleExpression": "rate(1 hour)"}),
        ("orders", {"EventPattern": '{"source": ["orders"]}'}),
        ("asleep", {"ScheduleExpression": "rate(2 hours)", "State": "DISABLED"}),
    ):
        events.put_rule(Name=name, **more)
        events.put_targets(Rule=name, Targets=[{"Id": "1", "Arn": arn}])
    scheduler.create_schedule(
        Name="nightly", ScheduleExpression="cron(0 3 * * ? *)", FlexibleTimeWindow={"Mode": "OFF"},
        Target={"Arn": arn, "RoleArn": stack.role},
    )  # fmt: skip
    run("init", "--yes")
    found = {(one.type, one.name) for one in described("their-oracle").event_sources}
    assert found == {
        ("sqs", "their-jobs"), ("schedule", "rate(1 hour)"), ("schedule", "cron(0 3 * * ? *)"),
        ("eventbridge", "orders"),
    }  # fmt: skip
    assert "Switched off: the schedule rate(2 hours)" in Path("migrate.toml").read_text(encoding="utf-8")


class Denied:
    """A client all of whose calls are refused."""

    def __getattr__(self, operation: str) -> Any:
        def refuse(*_: Any, **__: Any) -> Any:
            raise ClientError({"Error": {"Code": "AccessDeniedException", "Message": "no"}}, operation)

        return refuse


def test_what_may_not_be_read_is_named_and_the_rest_is_used(stack: Stack) -> None:
    fed(stack)
    stack.function("their-notifier", {"ENDPOINT": stack.api})

    def some(service: str) -> Any:
        if service in {"events", "scheduler"}:
            return Denied()
        made = boto3.client(service, REGION)
        if service == "lambda":
            paginator = made.get_paginator
            made.get_paginator = lambda name: (
                Denied() if name == "list_event_source_mappings" else paginator(name)
            )  # fmt: skip
        return made

    facts = read_aws(some, stack.api, REGION)
    for said in ("event source mappings (AccessDeniedException)", "EventBridge schedules", "EventBridge rules"):
        assert sum(said in problem for problem in facts.problems) == 1, facts.problems
    notifier = facts.function("their-notifier")
    assert notifier is not None
    assert {"sqs", "schedule"} <= notifier.unread
    settings = guess(facts).settings()
    one = replace(
        next(one for one in settings.functions if one.name == "their-notifier"),
        event_sources=(EventSource(type="sqs", name="q"), EventSource(type="schedule", name="rate(1 day)")),
    )
    # Nothing is said of what could not be read.
    found = findings(replace(settings, functions=(one,)), facts, {})
    assert not [one for one in found if "event_sources" in one.key]


def _checked(given: tuple[EventSource, ...], *live: dict[str, Any]) -> dict[str, bool]:
    facts = StackFacts(origin="x", functions=(FunctionFact("f", sources=tuple(of_mapping(one) for one in live)),))
    settings = guess(StackFacts(origin="x", name="x", api_id="a1", stages=("prod",))).settings()
    settings = replace(settings, functions=(Function(name="f", role="answer", event_sources=given),))
    found = findings(settings, facts, {})
    return {f"{one.key}: {one.found}": one.wrong for one in found if "event_sources" in one.key}


def test_check_config_compares_what_feeds_a_function() -> None:
    jobs = {"EventSourceArn": f"arn:aws:sqs:{REGION}:{ACCOUNT}:jobs", "BatchSize": 10}
    source = EventSource(type="sqs", name="jobs")
    assert _checked((source,), jobs) == {}
    assert _checked((source,)) == {"functions.0.event_sources.0: the queue jobs does not invoke f": True}
    assert _checked((source,), {**jobs, "State": "Disabled"}) == {
        "functions.0.event_sources.0: the queue jobs is switched off": True
    }
    assert _checked((), jobs) == {"functions.0.event_sources: the queue jobs invokes f as well": False}
    others = {
        **jobs, "BatchSize": 3, "MaximumBatchingWindowInSeconds": 2,
        "FilterCriteria": {"Filters": [{"Pattern": '{"body": {}}'}]},
        "FunctionResponseTypes": ["ReportBatchItemFailures"],
    }  # fmt: skip
    assert _checked((source,), others) == {
        "functions.0.event_sources.0.batch_size: the mapping's is 3": False,
        "functions.0.event_sources.0.batch_window_s: the mapping's is 2": False,
        'functions.0.event_sources.0.filters: the mapping\'s is {"body": {}}': False,
        "functions.0.event_sources.0.report_batch_item_failures: the mapping's is true": False,
    }
    # A topic's subscriptions are not looked for, so that nothing is missed.
    assert _checked((EventSource(type="sns", name="topic"),)) == {}


@pytest.mark.parametrize(
    ("arn", "found"),
    [
        ("arn:aws:sqs:eu-west-1:123456789012:jobs.fifo", ("sqs", "jobs.fifo")),
        ("arn:aws:dynamodb:eu-west-1:123456789012:table/app/stream/2026-01-01T00:00:00.000", ("dynamodb", "app")),
        ("arn:aws:kinesis:eu-west-1:123456789012:stream/clicks", ("kinesis", "clicks")),
        ("arn:aws:kinesis:eu-west-1:123456789012:stream/clicks/consumer/mine:1", ("kinesis", "clicks")),
        ("arn:aws:kafka:eu-west-1:123456789012:cluster/mine/uuid", ("other", "cluster/mine/uuid")),
        ("", ("other", "unknown")),
    ],
)
def test_an_arn_tells_what_feeds(arn: str, found: tuple[str, str]) -> None:
    assert of_arn(arn) == found


# Files ------------------------------------------------------------------------------------------------------------

SERVERLESS = """
service: chat
provider: { name: aws, stage: prod }
functions:
  say:
    handler: e.f
    environment: { JOBS: !Ref Jobs, JOBS_ARN: !GetAtt Jobs.Arn, SECRET: abc }
    events: [{ websocket: { route: say } }]
  oracle:
    handler: g.h
    iamRoleStatements: [{ Effect: Allow, Action: "execute-api:ManageConnections", Resource: "*" }]
    events:
      - sqs:
          arn: !GetAtt Jobs.Arn
          batchSize: 5
          maximumBatchingWindow: 3
          functionResponseType: ReportBatchItemFailures
          filterPatterns: [{ body: { kind: [ask], n: [{ numeric: [">", 2] }], z: [{ exists: false }] } }]
      - sqs: "arn:aws:sqs:${aws:region}:${aws:accountId}:plain.fifo"
      - stream: { type: dynamodb, arn: !GetAtt Online.StreamArn, enabled: false }
      - schedule: rate(10 minutes)
      - schedule: { rate: [rate(10 minutes), "cron(0 1 * * ? *)"] }
      - sns: dispatch
      - eventBridge: { pattern: { source: [x] } }
      - s3: photos
resources:
  Resources:
    Jobs: { Type: AWS::SQS::Queue, Properties: { QueueName: "${self:service}-jobs" } }
    Online:
      Type: AWS::DynamoDB::Table
      Properties: { TableName: online, KeySchema: [{ AttributeName: connectionId, KeyType: HASH }] }
"""

SAM = """
Transform: AWS::Serverless-2016-10-31
Resources:
  Chat:
    Type: AWS::Serverless::WebSocketApi
    Properties: { StageName: v1, Routes: { say: { FunctionArn: !GetAtt Say.Arn } } }
  Say:
    Type: AWS::Serverless::Function
    Properties: { Handler: a.b, Environment: { Variables: { JOBS: !Ref Jobs } } }
  Oracle:
    Type: AWS::Serverless::Function
    Properties:
      Handler: a.b
      Environment: { Variables: { ENDPOINT: !Sub "https://${Chat}.execute-api.eu-west-1.amazonaws.com/v1" } }
      Events:
        Jobs: { Type: SQS, Properties: { Queue: !GetAtt Jobs.Arn, BatchSize: 1, Enabled: true } }
        Rows: { Type: DynamoDB, Properties: { Stream: !GetAtt Rows.StreamArn, StartingPosition: LATEST } }
        Often: { Type: Schedule, Properties: { Schedule: rate(1 minute) } }
        Later: { Type: ScheduleV2, Properties: { ScheduleExpression: rate(1 hour), State: DISABLED } }
        News: { Type: SNS, Properties: { Topic: !Ref News } }
  Jobs: { Type: AWS::SQS::Queue }
  News: { Type: AWS::SNS::Topic, Properties: { TopicName: news } }
  Rows: { Type: AWS::Serverless::SimpleTable, Properties: { TableName: rows } }
"""

CFN = """
Resources:
  Api: { Type: AWS::ApiGatewayV2::Api, Properties: { Name: quotes, ProtocolType: WEBSOCKET } }
  Answer:
    Type: AWS::Lambda::Function
    Properties: { FunctionName: quotes-answer, Environment: { Variables: { API: !Ref Api } } }
  Bystander: { Type: AWS::Lambda::Function, Properties: { FunctionName: bystander } }
  Jobs: { Type: AWS::SQS::Queue, Properties: { QueueName: quotes-jobs } }
  Feeds:
    Type: AWS::Lambda::EventSourceMapping
    Properties:
      EventSourceArn: !GetAtt Jobs.Arn
      FunctionName: !Ref Answer
      FilterCriteria: { Filters: [{ Pattern: '{"body": {"kind": ["ask"]}}' }] }
      FunctionResponseTypes: [ReportBatchItemFailures]
  Daily:
    Type: AWS::Events::Rule
    Properties: { ScheduleExpression: rate(1 day), Targets: [{ Id: a, Arn: !GetAtt Answer.Arn }] }
  Orders:
    Type: AWS::Events::Rule
    Properties: { Name: orders, EventPattern: { source: [x] }, Targets: [{ Id: a, Arn: !GetAtt Answer.Arn }] }
  Nightly:
    Type: AWS::Scheduler::Schedule
    Properties: { ScheduleExpression: cron(0 3 * * ? *), Target: { Arn: !GetAtt Answer.Arn } }
  Other:
    Type: AWS::Lambda::EventSourceMapping
    Properties: { EventSourceArn: !GetAtt Jobs.Arn, FunctionName: bystander }
"""

TERRAFORM = """
resource "aws_apigatewayv2_api" "chat" {
  name          = "tf-chat"
  protocol_type = "WEBSOCKET"
}
resource "aws_sqs_queue" "jobs" {
  name = "tf-jobs"
}
resource "aws_lambda_function" "oracle" {
  function_name = "tf-oracle"
  environment {
    variables = {
      ENDPOINT = aws_apigatewayv2_api.chat.api_endpoint
      RETRY    = aws_sqs_queue.jobs.url
    }
  }
}
resource "aws_lambda_function" "mailer" {
  function_name = "tf-mailer"
}
resource "aws_lambda_event_source_mapping" "jobs" {
  event_source_arn        = aws_sqs_queue.jobs.arn
  function_name           = aws_lambda_function.oracle.arn
  batch_size              = 4
  function_response_types = ["ReportBatchItemFailures"]
}
resource "aws_lambda_event_source_mapping" "mail" {
  event_source_arn = aws_sqs_queue.jobs.arn
  function_name    = aws_lambda_function.mailer.arn
}
resource "aws_cloudwatch_event_rule" "daily" {
  name                = "daily"
  schedule_expression = "rate(1 day)"
}
resource "aws_cloudwatch_event_target" "daily" {
  rule = aws_cloudwatch_event_rule.daily.name
  arn  = aws_lambda_function.oracle.arn
}
"""


def read(name: str, text: str) -> StackFacts:
    Path(name).write_text(text, encoding="utf-8")
    return read_files(Path(name) if not name.endswith(".tf") else Path())


def sources(facts: StackFacts, name: str) -> dict[tuple[str, str], EventSource]:
    function = facts.function(name)
    assert function is not None, [one.name for one in facts.functions]
    return {(one.source.type, one.source.name): one.source for one in function.sources if one.enabled}


def test_events_of_serverless_yml() -> None:
    facts = read("serverless.yml", SERVERLESS)
    found = sources(facts, "chat-prod-oracle")
    assert list(found) == [
        ("sqs", "chat-jobs"), ("sqs", "plain.fifo"), ("schedule", "rate(10 minutes)"),
        ("schedule", "cron(0 1 * * ? *)"), ("sns", "dispatch"), ("eventbridge", "eventBridge"), ("other", "s3"),
    ]  # fmt: skip
    jobs = found["sqs", "chat-jobs"]
    assert (jobs.batch_size, jobs.batch_window_s, jobs.report_batch_item_failures) == (5, 3, True)
    assert [json.loads(one) for one in jobs.filters] == [
        {"body": {"kind": ["ask"], "n": [{"numeric": [">", 2]}], "z": [{"exists": False}]}}
    ]
    draft = guess(facts)
    draft.set("api.id", "a1b2")
    functions = {one.name: one for one in draft.settings().functions}
    # One of a kind and name is enough for the file, and what is switched off is a comment.
    assert len(functions["chat-prod-oracle"].event_sources) == 7
    assert "Switched off: the stream of the table online" in draft.text(draft.settings(), "2026-11-22")
    assert functions["chat-prod-say"].env == {"JOBS": "{$queue_url.chat-jobs}", "JOBS_ARN": "{$queue_arn.chat-jobs}"}


def test_events_of_sam() -> None:
    facts = read("template.yaml", SAM)
    found = sources(facts, "Oracle")
    assert list(found) == [("sqs", "Jobs"), ("dynamodb", "rows"), ("schedule", "rate(1 minute)"), ("sns", "news")]
    assert found["sqs", "Jobs"].batch_size == 1
    # Its name is made at deployment: said, not asked.
    assert any("the queue Jobs; its name is made at deployment" in text for text in guess(facts).notes["functions[1]"])


def test_mappings_rules_and_schedules_of_cloudformation() -> None:
    facts = read("stack.yml", CFN)
    found = sources(facts, "quotes-answer")
    assert list(found) == [
        ("sqs", "quotes-jobs"), ("schedule", "rate(1 day)"), ("eventbridge", "orders"),
        ("schedule", "cron(0 3 * * ? *)"),
    ]  # fmt: skip
    jobs = found["sqs", "quotes-jobs"]
    assert (jobs.filters, jobs.report_batch_item_failures) == (('{"body": {"kind": ["ask"]}}',), True)
    # Being fed says nothing of whom it works for.
    assert facts.function("bystander") is None


def test_mappings_and_targets_of_terraform() -> None:
    facts = read("main.tf", TERRAFORM)
    found = sources(facts, "tf-oracle")
    assert list(found) == [("sqs", "tf-jobs"), ("schedule", "rate(1 day)")]
    assert found["sqs", "tf-jobs"].batch_size == 4
    assert found["sqs", "tf-jobs"].report_batch_item_failures
    [one] = guess(facts).values["functions"]
    assert (one["role"], one["env"]) == ("answer", {"RETRY": "{$queue_url.tf-jobs}"})
    assert any("tf-mailer are fed by queues" in problem for problem in facts.problems)


def test_a_route_function_that_a_queue_feeds_is_a_limit() -> None:
    text = SERVERLESS.replace(
        "[{ websocket: { route: say } }]", "[{ websocket: { route: say } }, { schedule: rate(1 day) }]"
    )
    [limit] = guess(read("serverless.yml", text)).limits
    assert "chat-prod-say stands behind say and is invoked by other sources" in limit.what
