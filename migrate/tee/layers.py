"""The tee's layer: its archive, and the version that has it. until phase 3"""

from __future__ import annotations

import hashlib
import io
import zipfile
from pathlib import Path
from typing import Any

from migrate.tee.function_configuration import LAYER_NAME, OLDEST_NODE, OLDEST_PYTHON

__all__ = ["ensure_layer", "layer_zip"]

# A layer names at most 15 runtimes (PublishLayerVersion, CompatibleRuntimes).
RUNTIMES = [
    *(f"python3.{minor}" for minor in range(OLDEST_PYTHON, 15)),
    *(f"nodejs{major}.x" for major in range(OLDEST_NODE, 25, 2)),
]


def layer_zip() -> bytes:
    """The layer's archive; the same bytes every time, so that an unchanged tee publishes no new version."""
    folder = Path(__file__).parent / "layer"
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        # Where Lambda looks for modules of a layer (AWS Lambda guide, "Packaging your layer content").
        for place, source in (
            ("python/ws2sse_tee.py", "ws2sse_tee.py"),
            ("nodejs/node_modules/ws2sse_tee/index.js", "ws2sse_tee/index.js"),
        ):
            info = zipfile.ZipInfo(place, date_time=(1980, 1, 1, 0, 0, 0))
            info.external_attr = 0o644 << 16
            archive.writestr(info, (folder / source).read_bytes())
    return buffer.getvalue()


def ensure_layer(lambda_: Any) -> str:
    """ARN of the version with this archive, which is published where it is missing."""
    archive = layer_zip()
    description = f"sha256 {hashlib.sha256(archive).hexdigest()}"
    for page in lambda_.get_paginator("list_layer_versions").paginate(LayerName=LAYER_NAME):
        for version in page["LayerVersions"]:
            if version.get("Description") == description:
                return str(version["LayerVersionArn"])
    published = lambda_.publish_layer_version(
        LayerName=LAYER_NAME,
        Description=description,
        Content={"ZipFile": archive},
        CompatibleRuntimes=RUNTIMES,
    )
    return str(published["LayerVersionArn"])
