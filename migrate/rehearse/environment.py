"""What functions read from their environment, and what of it a rehearsal is not told. Pure. until phase 3

Names that Lambda itself gives: AWS Lambda developer guide, "Working with Lambda environment variables" (defined runtime
environment variables).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping

from migrate.config.model import Function
from migrate.init.draft import Limit
from migrate.rehearse.packages import Package

__all__ = ["needed_by", "not_given"]

# Without a value to fall back on, and not where the code itself sets it.
_PYTHON = (
    re.compile(r"""\benviron\[\s*["'](\w+)["']\s*\](?!\s*=(?!=))"""),
    re.compile(r"""\b(?:environ\.get|getenv)\(\s*["'](\w+)["']\s*\)(?!\s*or\b)"""),
)
_NODE = (
    re.compile(r"""\bprocess\.env\.(\w+)\b(?!\s*(?:\|\||\?\?|=(?!=)))"""),
    re.compile(r"""\bprocess\.env\[\s*["'](\w+)["']\s*\](?!\s*(?:\|\||\?\?|=(?!=)))"""),
)
_TAKEN_APART = re.compile(r"\{([^{}]*)\}\s*=\s*process\.env\b(?!\s*[.\[])")
_LAMBDA = re.compile(
    r"(?:AWS_|LAMBDA_|_LAMBDA_|WS2SSE_)\w*|_HANDLER|_X_AMZN_TRACE_ID|TZ|LANG|PATH|LD_LIBRARY_PATH|PYTHONPATH|HOME|PWD|"
    r"NODE_PATH|NODE_ENV|NODE_OPTIONS"
)


def needed_by(package: Package) -> list[str]:
    """Names that the code reads and has no value of its own for."""
    found: set[str] = set()
    for name, text in package.sources.items():
        is_python = name.endswith(".py")
        for pattern in _PYTHON if is_python else _NODE:
            found.update(pattern.findall(text))
        if not is_python:
            for names in _TAKEN_APART.findall(text):
                found.update(re.findall(r"(?:^|,)\s*(\w+)\s*(?::\s*\w+\s*)?(?=,|$)", names))
    return sorted(one for one in found if not _LAMBDA.fullmatch(one))


def not_given(
    functions: Iterable[Function], packages: Mapping[str, Package], env: Mapping[str, Mapping[str, str]]
) -> Iterator[Limit]:
    """What functions read and have neither from the description nor by --env, one function each.

    Args:
        env: further stand-ins by function; "" is for all.
    """
    for function in functions:
        given = {*function.env, *env.get("", {}), *env.get(function.name, {})}
        lacking = [one for one in needed_by(packages[function.name]) if one not in given]
        if lacking:
            wanted = " ".join(f"--env {function.name}:{one}=..." for one in lacking)
            yield Limit(
                f"{', '.join(lacking)} of {function.name}, which its code reads",
                f"name it in `env` of [[functions]], or {wanted}",
            )
