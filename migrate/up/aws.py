"""The local AWS as boto3 and other programs reach it. until phase 3"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import boto3

__all__ = ["REGION", "clients", "environment"]

REGION = "ap-northeast-1"


def environment(endpoint_url: str, ca_bundle: str) -> dict[str, str]:
    """The variables that point boto3, the AWS command line and the SDKs of other languages to the local AWS."""
    return {
        "AWS_ENDPOINT_URL": endpoint_url,
        "AWS_ACCESS_KEY_ID": "local",
        "AWS_SECRET_ACCESS_KEY": "local",
        "AWS_DEFAULT_REGION": REGION,
        "AWS_REGION": REGION,
        "AWS_CA_BUNDLE": ca_bundle,
    }


def clients(env: Mapping[str, str]) -> Callable[[str], Any]:
    """A maker of boto3 clients for the local AWS of `env`, whatever our own environment says."""
    session = boto3.Session(
        aws_access_key_id=env["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=env["AWS_SECRET_ACCESS_KEY"],
        region_name=env["AWS_DEFAULT_REGION"],
    )
    return lambda service: session.client(service, endpoint_url=env["AWS_ENDPOINT_URL"])
