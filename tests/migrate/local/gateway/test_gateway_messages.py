"""Routes and messages through real sockets (issue 2, "Bad input"; rows RC, CL6)."""

import json

from gateway_support import Api, FakeInvoker, say


async def test_echo(chat: Api, invoker: FakeInvoker) -> None:
    """A message takes the route its action names and a two-way route answers with the body."""
    async with chat.connect() as client:
        assert await say(client, action="echo", text="hi") == "hi"
        assert json.loads((await say(client, action="other")).removeprefix("default:")) == {"action": "other"}
    await invoker.wait_for("disconnect")
