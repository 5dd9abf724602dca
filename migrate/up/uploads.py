"""The bucket for files in messages under `migrate up`. until phase 3"""

from __future__ import annotations

from collections.abc import Mapping

from botocore.exceptions import BotoCoreError, ClientError

from migrate.errors import MigrateError
from migrate.up.aws import clients

__all__ = ["BUCKET", "make_bucket"]

BUCKET = "sse-uploads"
# Ours already, from a start before this one (Amazon S3 API reference, CreateBucket).
_OURS = "BucketAlreadyOwnedByYou"


def make_bucket(env: Mapping[str, str], page_origins: list[str]) -> None:
    """Make the bucket where there is none, and let pages of `page_origins` read what it answers.

    The page sends a form by POST and shows pictures by GET (Amazon S3 user guide, "Using cross-origin resource
    sharing"). MiniStack keeps these rules and answers every page of this machine; on AWS they decide.

    Raises: MigrateError.
    """
    client = clients(env)("s3")
    rule = {
        "AllowedMethods": ["GET", "POST"],
        "AllowedOrigins": page_origins,
        "AllowedHeaders": ["*"],
        "MaxAgeSeconds": 3600,
    }
    try:
        try:
            client.create_bucket(
                Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": env["AWS_DEFAULT_REGION"]}
            )
        except ClientError as error:
            if error.response.get("Error", {}).get("Code") != _OURS:
                raise
        client.put_bucket_cors(Bucket=BUCKET, CORSConfiguration={"CORSRules": [rule]})
    except (ClientError, BotoCoreError) as error:
        raise MigrateError(f"the bucket {BUCKET} could not be made: {error}") from error
