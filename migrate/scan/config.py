"""What `migrate.toml` says about the stack, as far as a scan needs it. until phase 3"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from migrate.errors import UsageError
from migrate.scan.identity import StackIdentity

__all__ = ["identity_from"]

_API_KEYS = frozenset({"api_id", "api_ids"})
_HOST_KEYS = frozenset({"host", "hosts", "domain", "domains", "domain_name", "custom_domain", "custom_domains"})


def identity_from(
    config: Path | None, api_ids: list[str] | None, hosts: list[str] | None, env_names: list[str] | None
) -> StackIdentity:
    """The identity given by options and, in addition, by migrate.toml.

    Of migrate.toml: `api_id(s)`, `id` in a table `[api]` or `[[apis]]`, and `host(s)`, `domain(s)`, `custom_domain(s)`.

    Raises: UsageError: the file is not there or no TOML.
    """
    ids, names = set(api_ids or ()), list(hosts or ())
    if config is not None:
        try:
            values = tomllib.loads(config.read_text(encoding="utf-8"))
        except OSError as error:
            raise UsageError(f"{config} cannot be read: {error.strerror}", "name another file with --config") from None
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise UsageError(f"{config} is no TOML: {error}", "correct it, or write it again") from None
        for way, key, value in _leaves(values, ()):
            in_api = bool(way) and way[-1] in {"api", "apis"}
            if key in _API_KEYS or (in_api and key == "id"):
                ids.add(value)
            elif key in _HOST_KEYS:
                names.append(value)
    return StackIdentity(
        frozenset(item for item in ids if item), tuple(dict.fromkeys(map(_host, names))), tuple(env_names or ())
    )


def _host(text: str) -> str:
    """`wss://chat.example.com:443/prod` is `chat.example.com`."""
    bare = text.split("://")[-1].split("/")[0]
    return bare.rsplit(":", 1)[0] if bare.rsplit(":", 1)[-1].isdigit() else bare


def _leaves(value: Any, way: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], str, str]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            if isinstance(inner, str):
                yield way, key, inner
            elif isinstance(inner, list) and all(isinstance(item, str) for item in inner):
                yield from ((way, key, item) for item in inner)
            else:
                yield from _leaves(inner, (*way, key))
    elif isinstance(value, list):
        for item in value:
            yield from _leaves(item, way)
