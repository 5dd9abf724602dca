"""Bad input gets the documented answer, and nothing else stops working (issue: RC, SQ6, WL3, WL4). until phase 3"""

from __future__ import annotations

import asyncio
import json
import re
import time
from typing import Any

import httpx
import jwt
import pytest
import websockets
from e2e_support import Stacks, frame
from websockets.exceptions import ConnectionClosed, InvalidStatus

pytestmark = pytest.mark.integration


async def still_works(stacks: Stacks) -> None:
    """Both stacks pass a message on."""
    async with stacks.websocket("alice") as alice, stacks.stream("carol") as carol:
        await carol.next("ready")
        await alice.send(json.dumps({"action": "sendMessage", "message": "still here"}))
        assert (await frame(alice))["message"] == "still here"
        assert (await carol.next()).data["message"] == "still here"


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("this is no json", "bad_request"),
        ("[1, 2]", "bad_request"),
        ('{"action": "dance"}', "unknown_action"),
        ('{"action": "$connect"}', "unknown_action"),
        ('{"action": "sendMessage"}', "bad_request"),
        ('{"action": "sendMessage", "message": {"a": 1}}', "bad_request"),
        ('{"action": "getHistory", "limit": "many"}', "bad_request"),
    ],
)
async def test_a_frame_that_makes_no_sense_gets_an_error_frame(stacks: Stacks, text: str, code: str) -> None:
    """WL3: an error frame with a request id, and the connection goes on."""
    async with stacks.websocket("mallory") as socket:
        await socket.send(text)
        error = await frame(socket, "error")
        assert (error["code"], bool(error["requestId"])) == (code, True)
        await socket.send(json.dumps({"action": "sendMessage", "message": "sorry"}))
        assert (await frame(socket))["message"] == "sorry"


async def test_a_message_of_129_kb_closes_with_1009(stacks: Stacks) -> None:
    """API Gateway's message limit is 128 KB; beyond it the connection is closed with 1009."""
    async with stacks.websocket("mallory") as socket:
        # As fragments of less than 32 KB each, so that the message's limit is what is met.
        await socket.send(["x" * 20_000] * 6 + ["x" * (129 * 1024 - 120_000)])
        with pytest.raises(ConnectionClosed) as closed:
            await asyncio.wait_for(socket.recv(), 10)
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1009
    await still_works(stacks)


def forged(stacks: Stacks) -> dict[str, str | None]:
    """Tokens nobody should believe."""
    secret = (stacks.state_dir / "jwt-secret").read_text().strip()
    claims: dict[str, Any] = {"sub": "alice", "tenant_id": "demo", "iat": int(time.time()), "exp": time.time() + 600}
    return {
        "missing": None,
        "garbage": "x.y.z",
        "expired": jwt.encode({**claims, "exp": int(time.time()) - 120}, secret, algorithm="HS256"),
        "wrong-key": jwt.encode(claims, "another secret, long enough for HS256", algorithm="HS256"),
        "alg-none": jwt.encode(claims, None, algorithm="none"),
        "no-subject": jwt.encode({"exp": claims["exp"], "tenant_id": "demo"}, secret, algorithm="HS256"),
    }


CASES = ("missing", "garbage", "expired", "wrong-key", "alg-none", "no-subject")


@pytest.mark.parametrize("case", CASES)
async def test_a_bad_token_opens_no_websocket(stacks: Stacks, case: str) -> None:
    """WL4: 401 in the handshake."""
    token = forged(stacks)[case]
    url = stacks.websocket_url + (f"?token={token}" if token else "")
    with pytest.raises(InvalidStatus) as refused:
        async with websockets.connect(url, proxy=None):
            pass
    assert refused.value.response.status_code == 401


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("path", ["/api/chat/stream", "/api/chat/history?conversationId=main"])
def test_a_bad_token_opens_no_stream(stacks: Stacks, case: str, path: str) -> None:
    """WL7: 401 with problem details and a request id."""
    token = forged(stacks)[case]
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    answer = httpx.get(stacks.sse_url + path, headers=headers, trust_env=False)
    assert answer.status_code == 401
    assert "WWW-Authenticate" in answer.headers
    assert answer.json()["requestId"]


def test_another_users_conversation_is_forbidden(stacks: Stacks) -> None:
    """SQ6: only participants read, send and stream; others cannot tell whether it exists."""

    def call(user: str, method: str, path: str, **more: Any) -> httpx.Response:
        headers = {"Authorization": f"Bearer {stacks.token(user)}"}
        return httpx.request(method, stacks.sse_url + path, headers=headers, trust_env=False, **more)

    made = call("alice", "POST", "/api/conversations", json={"conversationId": "secret-1", "participants": ["bob"]})
    assert made.status_code in (200, 201)
    assert call("bob", "GET", "/api/chat/history?conversationId=secret-1").status_code == 200
    for path in ("/api/chat/history?conversationId=", "/api/chat/stream?conversationId="):
        answers = [call("mallory", "GET", path + name) for name in ("secret-1", "not-there")]
        assert [answer.status_code for answer in answers] == [403, 403]
        assert len({answer.json()["detail"].replace("not-there", "secret-1") for answer in answers}) == 1
    sent = call("mallory", "POST", "/api/chat/send", json={"conversationId": "secret-1", "message": "hi"})
    assert sent.status_code == 403


@pytest.mark.parametrize("last_id", ["garbage", "0-1", "zzzz-999999", "-1", "x" * 500])
async def test_a_cursor_that_means_nothing_gets_a_reset(stacks: Stacks, last_id: str) -> None:
    """SQ1: an explicit reset with a reason, never silence."""
    async with stacks.stream("carol", **{"Last-Event-ID": last_id}) as stream:
        ready = await stream.next("ready")
        assert ready.data["recovered"] is False
        assert (await stream.next("reset")).data["reason"]
        await asyncio.to_thread(stacks.send, "dave", "after the reset")
        assert (await stream.next()).data["message"] == "after the reset"


async def test_logs_hold_request_ids_and_no_token(stacks: Stacks) -> None:
    """Fault 13, SQ7: nothing that was presented as a token is in any log of ours or of the Lambdas."""
    await still_works(stacks)
    await asyncio.sleep(1.5)
    text = "".join(path.read_text(errors="replace") for path in stacks.state_dir.rglob("*.log"))
    logs = stacks.client("logs")
    for group in logs.describe_log_groups()["logGroups"]:
        events = logs.filter_log_events(logGroupName=group["logGroupName"])["events"]
        text += "".join(event["message"] for event in events)
    assert re.search(r"request_?id", text, re.IGNORECASE)
    assert not re.search(r"eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}", text)
    assert (stacks.state_dir / "jwt-secret").read_text().strip() not in text
