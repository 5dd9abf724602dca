"""A fuzzer that knows nothing but the OpenAPI document finds nothing (schemathesis, all of its checks).

No 500, no status, content type or body that the document does not declare, nothing accepted that it forbids or
refused that it allows, no operation that works without a token.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from sse_service.settings import Settings

from .programs import program

EXAMPLES = 8
WAIT_S = 100

RULES_BETWEEN_FIELDS = (
    "/api/chat/history",
    "/api/chat/messages/{messageId}",
    "/api/chat/messages/{messageId}/attachment",
    "/api/conversations",
    "/chat/history",
)
"""Where one field excludes another (`with` or `conversationId`): no document can say so of query parameters, so a
refusal of what the document allows is no finding there; everything else still is."""

CONFIG = """
[checks]
# 501: what the operator has not set up; 503: a store that is away. Both are documented.
not_a_server_error.expected-statuses = ["2xx", "3xx", "4xx", 501, 503]
"""


@pytest.mark.integration
async def test_the_document_is_complete_enough_for_a_fuzzer_to_find_nothing(
    start_service: Any, settings: Settings, bearer: Any, tmp_path: Path
) -> None:
    # Streams end by rotation, or the fuzzer would read for ever. Limits would be found as what they are.
    service = await start_service(
        settings.replace(max_age_s=0.2, heartbeat_s=0.1, send_per_s=0.0, opens_per_minute=10**9)
    )
    config = [CONFIG]
    for path in RULES_BETWEEN_FIELDS:
        assert path in service.app.openapi()["paths"]
        config.append(f'[[operations]]\ninclude-path = "{path}"\nchecks.positive_data_acceptance.enabled = false\n')
    (tmp_path / "schemathesis.toml").write_text("\n".join(config))
    token = bearer("ann", scope="events:publish streams:tenant")["authorization"]
    process = await asyncio.create_subprocess_exec(
        *(program("st"), "run", f"{service.url}/openapi.json"),
        *("--header", f"Authorization: {token}", "--max-examples", str(EXAMPLES)),
        *("--seed", "1", "--request-timeout", "10", "--no-color"),
        # Ids of messages, runs and jobs that it makes up do not exist: 404, as declared.
        *("--warnings", "off"),
        cwd=tmp_path,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        async with asyncio.timeout(WAIT_S):
            out, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    text = out.decode()
    assert process.returncode == 0, "\n".join(line[:600] for line in text.splitlines())
    assert "No issues found" in text
    paths = service.app.openapi()["paths"]
    assert f"Tested: {sum(map(len, paths.values()))}" in text  # none was left out
