"""Reading an issuer's key set over HTTPS: bounded in size and time, without following redirects."""

from __future__ import annotations

from urllib.parse import urlsplit

import aiohttp

from sse_service.addresses import is_loopback

__all__ = ["MAX_BYTES", "fetch_keys"]

TIMEOUT_S = 5.0
MAX_BYTES = 256 << 10


async def fetch_keys(url: str, timeout_s: float = TIMEOUT_S) -> bytes:
    """The body. Raises OSError when it cannot be had, ValueError when it is not what it must be."""
    try:
        async with (
            aiohttp.ClientSession(
                timeout=aiohttp.ClientTimeout(total=timeout_s),
                trust_env=not is_loopback(urlsplit(url).hostname or ""),
            ) as session,
            # A redirect would lead past the check of the address in the settings.
            session.get(url, allow_redirects=False, headers={"accept": "application/json"}) as response,
        ):
            if response.status != 200:
                raise ValueError(f"{url} answered {response.status}")
            body = bytearray()
            async for chunk in response.content.iter_chunked(1 << 14):
                body += chunk
                if len(body) > MAX_BYTES:
                    raise ValueError(f"{url} sends more than {MAX_BYTES} bytes")
            return bytes(body)
    except TimeoutError:
        raise OSError(f"{url} did not answer within {timeout_s:g} s") from None
    except aiohttp.ClientError as error:
        raise OSError(f"{url}: {error}") from None
