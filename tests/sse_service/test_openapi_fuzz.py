"""A fuzzer that knows nothing but the OpenAPI document finds nothing (schemathesis, all of its checks).

No 500, no status, content type or body that the document does not declare, nothing accepted that it forbids or
refused that it allows, no operation that works without a token.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any

import pytest

from sse_service.settings import Settings

EXAMPLES = 12
WAIT_S = 90


@pytest.mark.integration
async def test_the_document_is_complete_enough_for_a_fuzzer_to_find_nothing(
    start_service: Any, settings: Settings, bearer: Any, tmp_path: Path
) -> None:
    # Streams end by rotation, or the fuzzer would read for ever. Limits would be found as what they are.
    service = await start_service(
        settings.replace(max_age_s=0.2, heartbeat_s=0.1, send_per_s=0.0, opens_per_minute=10**9)
    )
    token = bearer("ann", scope="events:publish streams:tenant")["authorization"]
    process = await asyncio.create_subprocess_exec(
        *(str(Path(sys.executable).with_name("st")), "run", f"{service.url}/openapi.json"),
        *("--header", f"Authorization: {token}", "--max-examples", str(EXAMPLES)),
        *("--seed", "1", "--request-timeout", "10", "--no-color"),
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
