"""What settings name outside of themselves and `serve` would stumble over: files, modules. Looked at, not kept."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from pathlib import Path

from sse_service.devkey import missing_key
from sse_service.errors import SettingsError
from sse_service.responder import load
from sse_service.settings import Settings

__all__ = ["startup_problems", "tls_problems"]


def startup_problems(settings: Settings) -> Iterator[str]:
    """One line for each, beginning with the variable to change; what Settings.problems() says is not repeated."""
    if problem := missing_key(settings):
        yield problem
    yield from tls_problems(settings)
    if not any(problem.startswith("SSE_RESPONDER=") for problem in settings.problems()):
        try:
            load(settings.responder)
        except SettingsError as error:
            yield from error.problems


def tls_problems(settings: Settings) -> Iterator[str]:
    """Certificate and key as the server will read them."""
    if not settings.tls_certfile:
        return
    named = [("SSE_TLS_CERTFILE", settings.tls_certfile)]
    if settings.tls_keyfile:
        named.append(("SSE_TLS_KEYFILE", settings.tls_keyfile))
    is_readable = True
    for variable, path in named:
        try:
            with Path(path).open("rb") as file:
                file.read(1)
        except (OSError, ValueError) as error:
            is_readable = False
            yield f"{variable}={path!r}: {getattr(error, 'strerror', None) or error}"
    if not is_readable:
        return
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_verify_locations(settings.tls_certfile)
    except (OSError, ValueError):
        yield f"SSE_TLS_CERTFILE={settings.tls_certfile!r}: holds no certificate in PEM form"
        return
    variable, path = named[-1]
    try:
        # An encrypted key would be asked for on the terminal.
        context.load_cert_chain(settings.tls_certfile, settings.tls_keyfile or None, password="")
    except ssl.SSLError as error:
        if "MISMATCH" in (error.reason or ""):
            yield f"{variable}={path!r}: the key is not that of the certificate"
        else:
            yield f"{variable}={path!r}: holds no private key in PEM form, or an encrypted one"
    except (OSError, ValueError):
        yield f"{variable}={path!r}: holds no private key in PEM form, or an encrypted one"
