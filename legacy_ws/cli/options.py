"""Options that many commands share. until phase 3"""

from __future__ import annotations

from typing import Annotated

import typer

from legacy_ws.aws import AwsSession

__all__ = ["Endpoint", "Json", "Profile", "Region", "Yes", "open_session"]

Region = Annotated[
    str | None,
    typer.Option("--region", help="AWS region; AWS_DEFAULT_REGION, else the profile's, else ap-northeast-1."),
]
Profile = Annotated[str | None, typer.Option("--profile", help="AWS profile; AWS_PROFILE.")]
Endpoint = Annotated[
    str | None,
    typer.Option("--endpoint-url", help="Address of something that behaves like AWS; AWS_ENDPOINT_URL."),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]


def open_session(region: str | None, profile: str | None, endpoint_url: str | None) -> AwsSession:
    """The clients of one command."""
    return AwsSession(region, profile, endpoint_url)
