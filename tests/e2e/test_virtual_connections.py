"""The three legacy applications over virtual connections: the same Lambdas and tables, a plain httpx client that speaks
the protocol in place of a WebSocket (MG19). until phase 3
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from local_stack import LocalStack, local_stack
from virtual_support import service

pytestmark = pytest.mark.integration

ANN, BOB = "ann@example.com", "bob@example.com"


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalStack]:
    with local_stack(tmp_path_factory.mktemp("virtual")) as made:
        yield made


async def test_rooms(local: LocalStack, tmp_path: Path) -> None:
    deployed = await asyncio.to_thread(local.deploy, "rooms")
    ann, bob = (f"token={local.token('rooms', user, '--tenant', 'acme')}" for user in ("ann", "bob"))
    with service(local, deployed, tmp_path / "service.log") as served:
        assert (await served.open("token=nonsense")).status_code in {401, 403}
        assert (await served.open("")).status_code == 401
        async with served.connect(ann) as one, served.connect(bob) as two:
            assert served.rows() == {one.id, two.id}
            await one.send(action="sendMessage", message="日本語 \r\n\0", userName="Ann", roomId="main")
            heard = await two.frame("message")
            assert (heard["message"], heard["userName"]) == ("日本語 \r\n\0", "Ann")
            assert await one.frame("message") == heard
            await two.send(action="getHistory", roomId="main", limit=10)
            history = await two.frame("history")
            assert [message["messageId"] for message in history["messages"]] == [heard["messageId"]]

            await one.close()
            assert (await one.stream.next("close")).data == {"code": 1000, "reason": "done"}
            await served.gone(one)
            gone = served.management()
            with pytest.raises(gone.exceptions.GoneException):
                gone.post_to_connection(ConnectionId=one.id, Data=b"x")
            await two.send(action="sendMessage", message="alone", roomId="main")
            assert (await two.frame("message"))["message"] == "alone"
    # SIGTERM: the connections end with their process, and $disconnect has run for them.
    assert served.rows() == set()
    log = (tmp_path / "service.log").read_text(encoding="utf-8")
    assert ann.removeprefix("token=") not in log


async def test_direct(local: LocalStack, tmp_path: Path) -> None:
    """Nothing at all is changed: its functions post to `https://{domainName}/{stage}` of their events."""
    deployed = await asyncio.to_thread(local.deploy, "direct")
    queries = {email: f"token={await asyncio.to_thread(local.token, 'direct', email)}" for email in (ANN, BOB)}
    ghost = "AAAAAAAAAAAAAAA="
    certificates = Path(local.ready["ca_bundle"]).parent
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    more = {
        "SSE_TLS_CERTFILE": str(certificates / "server.pem"),
        "SSE_TLS_KEYFILE": str(certificates / "server.key"),
        "SSE_VIRTUAL_DOMAIN_NAME": f"127.0.0.1:{port}",
    }
    with service(local, deployed, tmp_path / "service.log", tell=False, port=port, **more) as served:
        row = {
            "connectionId": {"S": ghost},
            "email": {"S": BOB},
            "connectedAt": {"S": "2024-06-18T06:13:20Z"},
        }
        local.client("dynamodb").put_item(TableName=deployed["tables"]["connections"], Item=row)
        async with served.connect(queries[ANN]) as ann, served.connect(queries[BOB]) as bob:
            await ann.send(action="sendMessage", receiverEmail=BOB, message="안녕하세요")
            sent = await ann.frame("messageSent")
            # The ghost's 410 removes its row and is no failure.
            assert (sent["delivered"], sent["failed"]) == (1, 0)
            assert ghost not in served.rows()
            assert (await bob.frame("message"))["messageId"] == sent["messageId"]
            await bob.send(action="read", **{"with": ANN})
            assert (await bob.frame("readDone"))["count"] == 1
            assert (await ann.frame("read"))["readerEmail"] == BOB
            await ann.send(action="getHistory", **{"with": BOB})
            assert [one["message"] for one in (await ann.frame("history"))["messages"]] == ["안녕하세요"]
            await bob.close(4000)
            await served.gone(bob)


async def test_layers(local: LocalStack, tmp_path: Path) -> None:
    """Its functions post to the listener that trusts the network."""
    deployed = await asyncio.to_thread(local.deploy, "layers")

    def headers(user: str, tenant: str = "acme") -> dict[str, str]:
        return {"Authorization": f"Bearer {local.token('layers', user, '--tenant', tenant)}"}

    more = {"SSE_VIRTUAL_MANAGEMENT_BIND": "127.0.0.1:0", "SSE_VIRTUAL_MANAGEMENT_ACCESS_KEY_ID": ""}
    more["SSE_VIRTUAL_MANAGEMENT_SECRET_ACCESS_KEY"] = ""
    with service(local, deployed, tmp_path / "service.log", **more) as served:
        assert (await served.open()).status_code == 401
        async with AsyncExitStack() as stack:
            ann = await stack.enter_async_context(served.connect(headers=headers("ann")))
            bob = await stack.enter_async_context(served.connect(headers=headers("bob")))
            eve = await stack.enter_async_context(served.connect(headers=headers("eve", "other")))
            await ann.send(type="chat", chat_id="c1", message_id="m1", message="hello world")
            got = await ann.until("chat_stream_end")
            assert got[-1]["status"] == "completed"
            chunks = {one["index"]: one["text"] for one in got if one["type"] == "chat_stream_chunk"}
            assert "".join(chunks[index] for index in sorted(chunks)) == "You said: hello world"
            assert (await bob.frame("chat_message"))["message"] == "hello world"
            await bob.send(type="library_process", library_id="l1", documents=["a.pdf"], job_id="j1")
            assert (await ann.frame("library_processing_notification", status="completed"))["result"] == {
                "processed": 1
            }
            await eve.send(type="ping")
            assert (await eve.until("pong")) == [{"type": "pong"}]  # and nothing of the other tenant before it

            await bob.send(type="disconnect")  # the server closes it
            assert (await bob.stream.next("close", 30)).data["code"] == 1000
            await served.gone(bob, "connection_id")
            await ann.close()
            await served.gone(ann, "connection_id")
