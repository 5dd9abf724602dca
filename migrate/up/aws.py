"""The local AWS as boto3 and other programs reach it. until phase 3"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import boto3
from botocore.config import Config

__all__ = ["REGION", "clients", "environment", "without_proxy"]

REGION = "ap-northeast-1"
_HERE = ("127.0.0.1", "localhost", "::1")


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


def without_proxy(environment: Mapping[str, str]) -> dict[str, str]:
    """The variables that make programs started with `environment` reach this machine without its proxy.

    Of both spellings Python prefers the one in small letters (urllib.request.getproxies_environment), curl and Node.js
    have their own order: both say the same here.
    """
    listed = (environment.get("no_proxy") or environment.get("NO_PROXY") or "").split(",")
    names = [name.strip() for name in listed if name.strip()]
    value = ",".join([*names, *(name for name in _HERE if name not in names)])
    return {"NO_PROXY": value, "no_proxy": value}


def clients(env: Mapping[str, str]) -> Callable[[str], Any]:
    """A maker of boto3 clients for the local AWS of `env`, whatever our own environment says."""
    session = boto3.Session(
        aws_access_key_id=env["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=env["AWS_SECRET_ACCESS_KEY"],
        region_name=env["AWS_DEFAULT_REGION"],
    )
    # Without `proxies` botocore asks the environment, whose proxy knows nothing of this machine's ports.
    config = Config(proxies={}, connect_timeout=2, read_timeout=20, retries={"total_max_attempts": 3})
    return lambda service: session.client(service, endpoint_url=env["AWS_ENDPOINT_URL"], config=config)
