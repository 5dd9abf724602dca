"""`python -m migrate.local` as a process: start, stop, kill -9, ports, restart of MiniStack. until phase 3 (MG2)"""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import botocore.exceptions
import psutil
import pytest
from local_aws_support import RunningLocalAws, gone, start_local_aws, stop_local_aws, wait_for

pytestmark = pytest.mark.integration


@pytest.fixture
def own_local_aws(tmp_path: Path) -> Iterator[RunningLocalAws]:
    running = start_local_aws(tmp_path / "state")
    yield running
    if running.process.poll() is None:
        stop_local_aws(running)
    else:
        running.close()
        assert running.process.stdout is not None
        running.process.stdout.close()


def family(running: RunningLocalAws) -> list[int]:
    return [child.pid for child in psutil.Process(running.process.pid).children(recursive=True)]


def run(*options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "migrate.local", *options], capture_output=True, text=True, timeout=30, check=False
    )


def test_kill_9_leaves_no_process_and_the_state_is_saved(own_local_aws: RunningLocalAws, tmp_path: Path) -> None:
    running = own_local_aws
    running.create("left", "import time\ndef handler(event, context):\n    time.sleep(event)")
    assert running.invoke("left", 0) == (None, None)
    running.client("sqs").create_queue(QueueName="kept")
    children = family(running)
    assert len(children) == 2  # MiniStack and one worker
    running.process.kill()
    running.process.wait()
    wait_for(lambda: gone(children))
    again = start_local_aws(tmp_path / "state")
    try:
        assert again.ready["aws_endpoint_url"] == running.ready["aws_endpoint_url"]  # the same ports again
        assert [f["FunctionName"] for f in again.client("lambda").list_functions()["Functions"]] == ["left"]
        assert again.client("sqs").get_queue_url(QueueName="kept")["QueueUrl"].endswith("/kept")
        assert again.invoke("left", 0) == (None, None)
    finally:
        children = family(again)
        assert stop_local_aws(again) == 0
    assert gone(children)


def test_queues_survive_a_start_on_other_ports(own_local_aws: RunningLocalAws, tmp_path: Path) -> None:
    """MiniStack keys queues by their address; the mapping of a queue to a function must still find it."""
    running = own_local_aws
    queue = running.client("sqs").create_queue(QueueName="moved")["QueueUrl"]
    assert stop_local_aws(running) == 0
    (tmp_path / "state" / "ports.json").unlink()
    again = start_local_aws(tmp_path / "state")
    try:
        assert again.ready["aws_endpoint_url"] != running.ready["aws_endpoint_url"]
        sqs = again.client("sqs")
        moved = sqs.get_queue_url(QueueName="moved")["QueueUrl"]
        assert moved != queue
        sqs.send_message(QueueUrl=moved, MessageBody="x")
        assert sqs.receive_message(QueueUrl=moved)["Messages"][0]["Body"] == "x"
    finally:
        stop_local_aws(again)


def test_ministack_is_started_again(own_local_aws: RunningLocalAws) -> None:
    running = own_local_aws
    client = running.client("dynamodb")
    assert client.list_tables()["TableNames"] == []
    (ministack,) = family(running)
    os.kill(ministack, signal.SIGKILL)
    wait_for(lambda: gone([ministack]))
    with pytest.raises(botocore.exceptions.ClientError) as refused:
        client.list_tables()
    assert refused.value.response["Error"]["Code"] == "ServiceUnavailableException"
    assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 503

    def answers() -> bool:
        try:
            return client.list_tables()["TableNames"] == []
        except botocore.exceptions.ClientError:
            return False

    wait_for(answers)
    assert "since its last clean stop is gone" in (running.state_dir.parent / "state.err").read_text()


def test_second_start_on_the_same_folder_is_refused(own_local_aws: RunningLocalAws) -> None:
    refused = run("--state-dir", str(own_local_aws.state_dir))
    assert refused.returncode == 5
    assert refused.stdout == ""
    assert refused.stderr.startswith("error: a local AWS is already running on the state folder")
    assert "hint: " in refused.stderr


@pytest.mark.parametrize("option", ["--port", "--gateway-port", "--gateway-tls-port", "--ministack-port"])
def test_port_in_use(tmp_path: Path, option: str) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        refused = run("--state-dir", str(tmp_path / "state"), option, port)
    assert (refused.returncode, refused.stdout) == (2, "")
    assert refused.stderr.splitlines() == [
        f"error: port {port} on 127.0.0.1 is already in use",
        f"hint: stop what listens there, or choose another port with {option} (0: any free one)",
    ]


@pytest.mark.parametrize("options", [[], ["--port", "70000"], ["--idle-timeout-s", "-1"], ["--workers-total", "0"]])
def test_wrong_options(options: list[str], tmp_path: Path) -> None:
    refused = run(*options, *(["--state-dir", str(tmp_path)] if options else []))
    assert refused.returncode == 2
    assert "Traceback" not in refused.stderr


def test_ctrl_c_stops_everything_in_order(own_local_aws: RunningLocalAws) -> None:
    running = own_local_aws
    running.create("busy", "import time\ndef handler(event, context):\n    time.sleep(60)", Timeout=60)
    running.client("lambda", read_timeout=1).invoke(FunctionName="busy", InvocationType="Event")
    wait_for(running.workers)
    children = family(running)
    running.process.send_signal(signal.SIGINT)
    assert running.process.wait(20) == 0
    assert gone(children)
    assert "Traceback" not in (running.state_dir.parent / "state.err").read_text()


def test_the_line_on_standard_output(shared_local_aws: RunningLocalAws) -> None:
    ready = shared_local_aws.ready
    assert set(ready) == {
        *("aws_endpoint_url", "gateway_url", "gateway_tls_url", "ca_bundle", "ministack_url", "region", "pid"),
    }
    assert ready["pid"] == shared_local_aws.process.pid
    assert Path(ready["ca_bundle"]).exists()
    assert json.loads((shared_local_aws.state_dir / "ports.json").read_text())["front_door"]
