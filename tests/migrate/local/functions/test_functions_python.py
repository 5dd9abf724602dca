"""Python functions under AWS's own runtime client, invoked through the front door with boto3 (RC, DESIGN 2).
until phase 3
"""

import base64
import concurrent.futures
import json
import os
import time

import pytest
from local_aws_support import RunningLocalAws, wait_for, zipped

pytestmark = pytest.mark.integration


def test_handler_result_comes_back(local_aws: RunningLocalAws) -> None:
    local_aws.create(
        "echo", "def handler(event, context):\n    return {'got': event, 'arn': context.invoked_function_arn}"
    )
    answer, error = local_aws.invoke("echo", {"a": [1, "ü", None]})
    assert error is None
    assert answer == {
        "got": {"a": [1, "ü", None]},
        "arn": "arn:aws:lambda:ap-northeast-1:000000000000:function:echo",
    }


def test_exception_has_the_shape_of_aws(local_aws: RunningLocalAws) -> None:
    local_aws.create("boom", "def handler(event, context):\n    raise ValueError('no ' + event)")
    answer, error = local_aws.invoke("boom", "luck")
    assert error == "Unhandled"
    assert answer["errorType"] == "ValueError"
    assert answer["errorMessage"] == "no luck"
    assert "raise ValueError" in answer["stackTrace"][0]
    assert answer["requestId"]


def test_async_handler_fails_as_on_aws(local_aws: RunningLocalAws) -> None:
    """Fault 1 of the documents: `async def` handlers never run on AWS's Python runtime."""
    local_aws.create("coroutine", "async def handler(event, context):\n    return 1")
    answer, error = local_aws.invoke("coroutine")
    assert error == "Unhandled"
    assert answer["errorType"] == "Runtime.MarshalError"


def test_timeout_ends_the_worker(local_aws: RunningLocalAws) -> None:
    code = "import os, time\ndef handler(event, context):\n    if event: time.sleep(30)\n    return os.getpid()"
    local_aws.create("slow", code, Timeout=1)
    first, _ = local_aws.invoke("slow", 0)
    began = time.monotonic()
    answer, error = local_aws.invoke("slow", 1)
    assert 0.9 < time.monotonic() - began < 8
    assert error == "Unhandled"
    assert answer["errorType"] == "Sandbox.Timedout"
    assert answer["errorMessage"].endswith("Error: Task timed out after 1.00 seconds")
    second, error = local_aws.invoke("slow", 0)
    assert error is None
    assert second != first
    wait_for(lambda: [m for m in local_aws.messages("slow") if m.endswith("Task timed out after 1.00 seconds")])


def test_crash_is_an_exit_error(local_aws: RunningLocalAws) -> None:
    local_aws.create("crash", "import os\ndef handler(event, context):\n    os._exit(event)")
    answer, error = local_aws.invoke("crash", 7)
    assert (error, answer["errorType"]) == ("Unhandled", "Runtime.ExitError")
    assert answer["errorMessage"].endswith("Runtime exited with error: exit status 7")
    answer, _ = local_aws.invoke("crash", 0)
    assert answer["errorMessage"].endswith("Runtime exited without providing a reason")


@pytest.mark.parametrize(
    ("name", "code", "handler", "error_type"),
    [
        ("init-import", "import nothing_like_this", "app.handler", "Runtime.ImportModuleError"),
        ("init-syntax", "def handler(:", "app.handler", "Runtime.UserCodeSyntaxError"),
        ("init-missing", "x = 1", "app.handler", "Runtime.HandlerNotFound"),
        ("init-raises", "raise RuntimeError('at import')", "app.handler", "RuntimeError"),
    ],
)
def test_initialisation_errors_are_reported(
    local_aws: RunningLocalAws, name: str, code: str, handler: str, error_type: str
) -> None:
    local_aws.create(name, code, Handler=handler)
    answer, error = local_aws.invoke(name)
    assert (error, answer["errorType"]) == ("Unhandled", error_type)


def test_output_reaches_cloudwatch_logs_in_order(local_aws: RunningLocalAws) -> None:
    code = """
import logging, sys
logging.getLogger().setLevel("INFO")
def handler(event, context):
    print("printed")
    print("to stderr", file=sys.stderr)
    logging.info("logged\\ntwo lines")
    raise KeyError("end")
"""
    local_aws.create("talks", code)
    answer = local_aws.client("lambda").invoke(FunctionName="talks", LogType="Tail")
    tail = base64.b64decode(answer["LogResult"]).decode()
    assert "printed\nto stderr\n" in tail
    messages = wait_for(
        lambda: [m for m in local_aws.messages("talks") if m.startswith("REPORT")] and local_aws.messages("talks")
    )
    kinds = [m.split(" ")[0].split("\t")[0] for m in messages]
    assert kinds == ["INIT_START", "START", "printed", "to", "[INFO]", "[ERROR]", "END", "REPORT"]
    assert "logged\ntwo lines" in messages[4]
    assert messages[5].startswith("[ERROR] KeyError: 'end'\nTraceback")
    assert "Memory Size: 128 MB" in messages[7] and "Init Duration" in messages[7]
    streams = local_aws.client("logs").describe_log_streams(logGroupName="/aws/lambda/talks")["logStreams"]
    assert "/[$LATEST]" in streams[0]["logStreamName"]


def test_environment_is_the_functions_alone(local_aws: RunningLocalAws) -> None:
    code = "import os, sys\ndef handler(event, context):\n    return [dict(os.environ), sys.path]"
    local_aws.create("env", code, Environment={"Variables": {"MINE": "1", "AWS_REGION_OF_MINE": "x"}})
    (environment, path), _ = local_aws.invoke("env")
    assert environment["MINE"] == "1"
    assert environment["AWS_LAMBDA_FUNCTION_NAME"] == "env"
    assert environment["AWS_ENDPOINT_URL"] == local_aws.ready["aws_endpoint_url"]
    assert environment["AWS_CA_BUNDLE"] == local_aws.ready["ca_bundle"]
    # What every function has, whose values other tests may have as well.
    ours = {"PATH", "LANG", "TZ", "AWS_REGION", "AWS_DEFAULT_REGION", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"}
    assert not {k for k in environment if environment[k] == os.environ.get(k)} - ours
    assert environment["HOME"] != os.environ.get("HOME")
    assert not [p for p in path if "site-packages" in p]


def test_package_missing_from_the_zip_is_missing(local_aws: RunningLocalAws) -> None:
    """httptools is installed beside us, not on Lambda; boto3 is there on both."""
    code = """
def handler(event, context):
    import boto3
    try:
        import httptools
    except ImportError as error:
        return str(error)
"""
    local_aws.create("imports", code)
    assert local_aws.invoke("imports")[0] == "No module named 'httptools'"


def test_handler_reaches_the_local_aws_with_boto3(local_aws: RunningLocalAws) -> None:
    code = "import boto3\ndef handler(event, context):\n    return boto3.client('sts').get_caller_identity()['Account']"
    local_aws.create("caller", code)
    assert local_aws.invoke("caller") == ("000000000000", None)


def test_invocations_run_beside_each_other_up_to_the_cap(local_aws: RunningLocalAws) -> None:
    """The shared local AWS has two workers a function; a third invocation waits for one of them."""
    code = "import os, time\ndef handler(event, context):\n    time.sleep(0.6)\n    return os.getpid()"
    local_aws.create("sleeper", code)
    with concurrent.futures.ThreadPoolExecutor(6) as threads:
        results = list(threads.map(lambda _: local_aws.invoke("sleeper"), range(6)))
    assert all(error is None for _, error in results)
    assert len({pid for pid, _ in results}) == 2


def test_reserved_concurrency_throttles(local_aws: RunningLocalAws) -> None:
    local_aws.create("reserved", "import time\ndef handler(event, context):\n    time.sleep(1)")
    client = local_aws.client("lambda")
    client.put_function_concurrency(FunctionName="reserved", ReservedConcurrentExecutions=0)
    with pytest.raises(client.exceptions.TooManyRequestsException) as refused:
        client.invoke(FunctionName="reserved")
    assert refused.value.response["Reason"] == "ReservedFunctionConcurrentInvocationLimitExceeded"
    client.put_function_concurrency(FunctionName="reserved", ReservedConcurrentExecutions=1)
    with concurrent.futures.ThreadPoolExecutor(1) as thread:
        running = thread.submit(local_aws.invoke, "reserved")
        time.sleep(0.4)
        with pytest.raises(client.exceptions.TooManyRequestsException):
            client.invoke(FunctionName="reserved")
        assert running.result() == (None, None)


def test_new_code_and_configuration_are_picked_up(local_aws: RunningLocalAws) -> None:
    local_aws.create("changes", "import os\ndef handler(event, context):\n    return [1, os.environ.get('V')]")
    assert local_aws.invoke("changes")[0] == [1, None]
    client = local_aws.client("lambda")
    new = "import os\ndef handler(event, context):\n    return [2, os.environ.get('V')]"
    client.update_function_code(FunctionName="changes", ZipFile=zipped({"app.py": new}))
    assert local_aws.invoke("changes")[0] == [2, None]
    client.update_function_configuration(FunctionName="changes", Environment={"Variables": {"V": "x"}})
    assert local_aws.invoke("changes")[0] == [2, "x"]
    client.delete_function(FunctionName="changes")
    with pytest.raises(client.exceptions.ResourceNotFoundException):
        client.invoke(FunctionName="changes")


def test_versions_and_aliases_keep_their_code(local_aws: RunningLocalAws) -> None:
    code = "def handler(event, context):\n    return [{}, context.function_version]"
    local_aws.create("versions", code.format(1))
    client = local_aws.client("lambda")
    client.publish_version(FunctionName="versions")
    client.create_alias(FunctionName="versions", Name="live", FunctionVersion="1")
    client.update_function_code(FunctionName="versions", ZipFile=zipped({"app.py": code.format(2)}))
    assert local_aws.invoke("versions")[0] == [2, "$LATEST"]
    assert local_aws.invoke("versions:1")[0] == [1, "1"]
    assert local_aws.invoke("versions", Qualifier="live")[0] == [1, "1"]
    arn = "arn:aws:lambda:ap-northeast-1:000000000000:function:versions"
    assert local_aws.invoke(f"{arn}:live")[0] == [1, "1"]
    with pytest.raises(client.exceptions.ResourceNotFoundException):
        client.invoke(FunctionName="versions", Qualifier="nowhere")


def test_layers_are_imported_and_the_last_one_wins(local_aws: RunningLocalAws) -> None:
    client = local_aws.client("lambda")
    arns = [
        client.publish_layer_version(
            LayerName=f"layer-{number}",
            Content={"ZipFile": zipped({"python/shared_part.py": f"WHO = {number}", f"python/only_{number}.py": ""})},
        )["LayerVersionArn"]
        for number in (1, 2)
    ]
    code = "import shared_part, only_1, only_2\ndef handler(event, context):\n    return shared_part.WHO"
    local_aws.create("layered", code, Layers=arns)
    assert local_aws.invoke("layered") == (2, None)


def test_response_over_six_megabytes_is_refused(local_aws: RunningLocalAws) -> None:
    local_aws.create("large", "def handler(event, context):\n    return 'x' * event")
    assert len(local_aws.invoke("large", 6_000_000)[0]) == 6_000_000
    answer, error = local_aws.invoke("large", 6_300_000)
    assert (error, answer["errorType"]) == ("Unhandled", "Function.ResponseSizeTooLarge")
    assert local_aws.invoke("large", 3) == ("xxx", None)


def test_failed_event_is_retried_and_goes_to_its_destination(local_aws: RunningLocalAws) -> None:
    sqs = local_aws.client("sqs")
    queue = sqs.create_queue(QueueName="failures")["QueueUrl"]
    local_aws.create("unreliable", "def handler(event, context):\n    raise ValueError(event)")
    local_aws.client("lambda").put_function_event_invoke_config(
        FunctionName="unreliable",
        MaximumRetryAttempts=1,
        DestinationConfig={"OnFailure": {"Destination": "arn:aws:sqs:ap-northeast-1:000000000000:failures"}},
    )
    answer = local_aws.client("lambda").invoke(FunctionName="unreliable", InvocationType="Event", Payload=b'"e"')
    assert answer["StatusCode"] == 202
    messages = sqs.receive_message(QueueUrl=queue, WaitTimeSeconds=10)["Messages"]
    record = json.loads(messages[0]["Body"])
    assert record["requestPayload"] == "e"
    assert record["requestContext"]["approximateInvokeCount"] == 2
    assert record["responsePayload"]["errorType"] == "ValueError"


def test_queue_feeds_a_function_and_partial_failures_stay(local_aws: RunningLocalAws) -> None:
    """WL6: the event source mapping of the control plane runs on our Lambda execution."""
    sqs = local_aws.client("sqs")
    source = sqs.create_queue(QueueName="jobs", Attributes={"VisibilityTimeout": "60"})["QueueUrl"]
    local_aws.create(
        "consumer",
        """
import os
def handler(event, context):
    for record in event["Records"]:
        print("got", record["body"], os.environ["AWS_LAMBDA_RUNTIME_API"] != "")
    bad = [{"itemIdentifier": r["messageId"]} for r in event["Records"] if r["body"] == "bad"]
    return {"batchItemFailures": bad}
""",
    )
    local_aws.client("lambda").create_event_source_mapping(
        FunctionName="consumer",
        EventSourceArn="arn:aws:sqs:ap-northeast-1:000000000000:jobs",
        FunctionResponseTypes=["ReportBatchItemFailures"],
    )
    for body in ("good", "bad"):
        sqs.send_message(QueueUrl=source, MessageBody=body)
    wait_for(lambda: {"got good True", "got bad True"} <= set(local_aws.messages("consumer")))

    def left() -> bool:
        attributes = sqs.get_queue_attributes(QueueUrl=source, AttributeNames=["All"])["Attributes"]
        return (attributes["ApproximateNumberOfMessages"], attributes["ApproximateNumberOfMessagesNotVisible"]) == (
            "0",
            "1",
        )

    wait_for(left)


def test_idle_workers_are_retired(local_aws: RunningLocalAws) -> None:
    local_aws.create("quiet", "import os\ndef handler(event, context):\n    return os.getpid()")
    pid, _ = local_aws.invoke("quiet")
    assert pid in local_aws.workers()
    wait_for(lambda: pid not in local_aws.workers())


def test_runtime_that_cannot_be_run_is_a_clear_error(local_aws: RunningLocalAws) -> None:
    local_aws.create("java", "class X {}", Runtime="java21", Handler="X::y")
    answer, error = local_aws.invoke("java")
    assert (error, answer["errorType"]) == ("Unhandled", "Local.UnsupportedRuntime")
    assert "java21" in answer["errorMessage"]
