"""legacy_ws.deploy.package: what Lambda gets. until phase 3"""

from __future__ import annotations

import ast
import io
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from legacy_ws.deploy.apps import APPS
from legacy_ws.deploy.package import build_zip


def names() -> list[str]:
    return zipfile.ZipFile(io.BytesIO(build_zip())).namelist()


def test_the_bytes_are_the_same_every_time() -> None:
    assert build_zip() == build_zip()


def test_only_runtime_modules_and_pyjwt_are_in_it() -> None:
    tops = {name.split("/")[0] for name in names()}
    assert tops - {name for name in tops if name.lower().startswith("pyjwt-")} == {"legacy_ws", "jwt"}
    assert not [name for name in names() if name.startswith(("legacy_ws/cli", "legacy_ws/deploy"))]
    assert [name for name in names() if name.upper().endswith("LICENSE")]


def test_it_is_pure_python_for_every_supported_runtime() -> None:
    archive = zipfile.ZipFile(io.BytesIO(build_zip()))
    for name in archive.namelist():
        assert name.endswith(".py") or "LICENSE" in name.upper()
        if name.endswith(".py"):
            ast.parse(archive.read(name), feature_version=(3, 11))


def test_files_can_be_read_by_lambdas_user() -> None:
    archive = zipfile.ZipFile(io.BytesIO(build_zip()))
    assert {info.external_attr >> 16 for info in archive.infolist()} == {0o644}


@pytest.mark.parametrize("handler", [function.handler for app in APPS.values() for function in app.functions])
def test_every_handler_imports_from_the_zip_alone(tmp_path: Path, handler: str) -> None:
    """With boto3, which AWS's runtimes have, and with nothing else of this environment's legacy_ws."""
    package = tmp_path / "package.zip"
    package.write_bytes(build_zip())
    module, _, attribute = handler.rpartition(".")
    code = (
        f"import sys; sys.path.insert(0, {str(package)!r}); import importlib;"
        f"module = importlib.import_module({module!r}); assert callable(module.{attribute});"
        f"assert module.__file__.startswith({str(package)!r}), module.__file__;"
        f"assert not [m for m in sys.modules if m.split('.')[0] in ('typer', 'rich', 'migrate', 'sse_service')]"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=tmp_path)
