"""How a function is named: pure. until phase 3

Source: AWS Lambda API reference, "Invoke", URI request parameters (FunctionName): a name, NAME:QUALIFIER, a partial
ARN `ACCOUNT:function:NAME[:QUALIFIER]` or a whole ARN; the qualifier may also come as a query parameter.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

__all__ = ["ACCOUNT", "FunctionRef", "parse_reference"]

ACCOUNT = "000000000000"
"""Of the local AWS (docs/local-aws.md)."""

_NAME = r"(?P<name>[A-Za-z0-9_-]{1,64})(?::(?P<qualifier>\$LATEST|[A-Za-z0-9_-]{1,128}))?"
_ARN = re.compile(rf"^arn:aws[a-z-]*:lambda:(?P<region>[a-z0-9-]+):(?P<account>\d{{12}}):function:{_NAME}$")
_PARTIAL = re.compile(rf"^(?P<account>\d{{12}}):function:{_NAME}$")
_PLAIN = re.compile(rf"^{_NAME}$")


@dataclass(frozen=True)
class FunctionRef:
    """One function, or one version or alias of it (`qualifier`), in one account and region."""

    account: str
    region: str
    name: str
    qualifier: str | None = None

    @property
    def arn(self) -> str:
        """The invoked ARN, with the qualifier if one was given."""
        suffix = f":{self.qualifier}" if self.qualifier else ""
        return f"arn:aws:lambda:{self.region}:{self.account}:function:{self.name}{suffix}"


def parse_reference(text: str, *, account: str, region: str, qualifier: str | None = None) -> FunctionRef | None:
    """Read a function's name or ARN; `account` and `region` are the caller's, `qualifier` the query parameter.

    Returns None for what names no function, and when path and query name different qualifiers.
    """
    for pattern in (_ARN, _PARTIAL, _PLAIN):
        match = pattern.match(text)
        if match is None:
            continue
        found = match.groupdict()
        ref = FunctionRef(
            found.get("account") or account,
            found.get("region") or region,
            found["name"],
            found["qualifier"],
        )
        if qualifier and ref.qualifier and qualifier != ref.qualifier:
            return None
        return replace(ref, qualifier=ref.qualifier or qualifier)
    return None
