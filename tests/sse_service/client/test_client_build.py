"""dist/sse-websocket.js is what build.mjs makes of src, and what it says about itself is true."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

from client_support import CLIENT, node

DIST = CLIENT / "dist" / "sse-websocket.js"


def test_dist_was_built_from_these_sources() -> None:
    """Needs no network: the digest in the banner is that of the sources, the build script and the locked packages."""
    digest = subprocess.run(
        [node(), "build.mjs", "--digest"], cwd=CLIENT, check=True, capture_output=True, text=True, timeout=30
    ).stdout.strip()
    assert f"sources sha256 {digest};" in DIST.read_text(), "run `npm ci && npm run build` in sse_service/client"


def test_a_rebuild_gives_the_same_bytes_and_the_types_hold(tmp_path: Path) -> None:
    """Where the packages can be fetched (or are cached): build, compare, and let tsc check sources and declarations.

    Where they cannot, the digest above is what is left to compare.
    """
    copy = tmp_path / "client"
    shutil.copytree(CLIENT, copy, ignore=shutil.ignore_patterns("node_modules"))
    env = {**os.environ, "npm_config_cache": str(tmp_path / "cache"), "NODE_OPTIONS": ""}
    npm = shutil.which("npm")
    if (
        npm is None
        or subprocess.run([npm, "ci", "--prefer-offline"], cwd=copy, env=env, capture_output=True).returncode
    ):
        test_dist_was_built_from_these_sources()
        return
    (copy / "dist" / DIST.name).unlink()
    subprocess.run([node(), "build.mjs"], cwd=copy, check=True, timeout=60)
    assert (copy / "dist" / DIST.name).read_bytes() == DIST.read_bytes()
    checked = subprocess.run(
        [node(), "node_modules/typescript/bin/tsc", "-p", "."], cwd=copy, capture_output=True, text=True, timeout=100
    )
    assert checked.returncode == 0, checked.stdout


def test_dist_stands_alone() -> None:
    """One module without imports; no Node.js, no syntax younger than ES2020; with the licence of what it contains."""
    text = DIST.read_text()
    code = re.sub(r"/\*.*?\*/|^\s*//.*?$", "", text, flags=re.DOTALL | re.MULTILINE)
    assert not re.search(r"^\s*import\b|\bimport\(|\brequire\(", code, re.MULTILINE)
    assert not re.search(r"\b(process|Buffer|__dirname)\b\s*[.(\[]", code)
    assert not re.search(r"\?\?=|\|\|=|&&=|\bstatic \{|[ .]#[a-z]\w*\b", code)
    assert text.isascii()
    assert "Copyright (c) 2026 Espen Hovlandsdal" in text
    assert "THE SOFTWARE IS PROVIDED" in text


def test_the_package_gives_what_it_lists() -> None:
    package = json.loads((CLIENT / "package.json").read_text())
    exported = package["exports"]["."]
    for path in (exported["types"], exported["default"], package["types"]):
        assert (CLIENT / path).is_file()
    assert "dependencies" not in package  # the parser is inside
    assert package["engines"] == {"node": ">=20"}


PACKAGE = {"dist/sse-websocket.js", "types/index.d.ts", "package.json", "README.md"}


def test_the_wheel_brings_the_package(tmp_path: Path) -> None:
    """Whoever installs the service has the client at hand, and nothing of what npm fetched for building it."""
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)],
        cwd=CLIENT.parents[1],
        check=True,
        capture_output=True,
        timeout=100,
    )
    (wheel,) = tmp_path.glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {f"sse_service/client/{name}" for name in PACKAGE} <= names
    assert not [name for name in names if "node_modules" in name]


def test_npm_packs_it(tmp_path: Path) -> None:
    """What `npm install` of the archive puts there works by its name, from JavaScript without a build."""
    npm = shutil.which("npm")
    assert npm, "no npm on PATH"
    env = {**os.environ, "npm_config_cache": str(tmp_path / "cache"), "npm_config_offline": "true"}
    pack = [npm, "pack", str(CLIENT), "--pack-destination", str(tmp_path), "--ignore-scripts"]
    subprocess.run(pack, cwd=tmp_path, env=env, check=True, capture_output=True, timeout=60)
    (archive,) = tmp_path.glob("*.tgz")
    with tarfile.open(archive) as packed:
        assert {name.removeprefix("package/") for name in packed.getnames()} == PACKAGE
        packed.extractall(tmp_path, filter="data")
    home = tmp_path / "node_modules" / "@ws2sse"
    home.mkdir(parents=True)
    (tmp_path / "package").rename(home / "client")
    script = tmp_path / "use.mjs"
    script.write_text('import { SseWebSocket } from "@ws2sse/client"\nconsole.log(SseWebSocket.OPEN)\n')
    done = subprocess.run([node(), str(script)], capture_output=True, text=True, check=True, timeout=30)
    assert done.stdout == "1\n"
