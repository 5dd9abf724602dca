"""The authorizer of `$connect`. Imports no boto3: it runs before every connection. until phase 3"""

from __future__ import annotations

import os
from collections.abc import Mapping

from legacy_ws.auth_settings import AuthSettings
from legacy_ws.authorizer import Authorizer

__all__ = ["handler"]


def handler(event: Mapping[str, object], context: object) -> dict[str, object]:  # noqa: ARG001
    """Lambda entry point. Raises: Exception("Unauthorized"), which API Gateway answers with 401."""
    return Authorizer(AuthSettings.from_env(os.environ)).authorize(event)
