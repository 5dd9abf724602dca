"""Functions run on the Python that their Runtime names (row "Runtimes" of docs/local-aws.md). until phase 3"""

import asyncio
import importlib.metadata
import io
import json
import os
import sys
import time
import zipfile
from pathlib import Path

import jwt
import pytest
from local_aws_support import ROLE, RunningLocalAws, wait_for

from legacy_ws.deploy.package import build_zip
from migrate.local.functions import interpreters, runtime_site
from migrate.local.functions.interpreters import OURS, Interpreter, Interpreters, candidates
from migrate.local.functions.runtime_site import make_site, output_of, requirements

SUPPORTED = ("3.11", "3.12", "3.13")
SHIPPED = {
    *("awslambdaric", "runtime_client", "simplejson", "snapshot_restore_py"),
    *("boto3", "botocore", "s3transfer", "jmespath", "dateutil", "six", "urllib3"),
}


async def _is_there(version: str) -> bool:
    print_version = ("-I", "-S", "-c", "import sys; print('%d.%d' % sys.version_info[:2])")
    answers = [await output_of(str(program), *print_version) for program in candidates(f"python{version}")]
    return version in [(answer or "").strip() for answer in answers]


HERE = [version for version in SUPPORTED if version == OURS or asyncio.run(_is_there(version))]

PROBE = """
import importlib, pkgutil, sys, sysconfig
import boto3, jwt, runtime_client
def handler(event, context):
    for name in event:
        importlib.import_module(name)
    python = {sysconfig.get_path("stdlib"), sysconfig.get_path("platstdlib")}
    def foreign(path):
        return not any(path == own or path == own + "/lib-dynload" for own in python)
    return {
        "version": "%d.%d" % sys.version_info[:2],
        "client": runtime_client.__file__,
        "modules": sorted({m.name for m in pkgutil.iter_modules() if foreign(m.module_finder.path)}),
        "path": sys.path,
    }
"""


def create(local_aws: RunningLocalAws, name: str, version: str, handler: str, code: bytes, **variables: str) -> None:
    local_aws.client("lambda").create_function(
        FunctionName=name,
        Role=ROLE,
        Runtime=f"python{version}",
        Handler=handler,
        Timeout=30,
        Code={"ZipFile": code},
        Environment={"Variables": variables},
    )


@pytest.mark.integration
@pytest.mark.parametrize("version", HERE)
def test_the_real_zip_runs_on_the_version_it_is_deployed_for(local_aws: RunningLocalAws, version: str) -> None:
    """What `legacy-ws deploy` uploads, with nothing beside it but what AWS's runtime ships."""
    package = io.BytesIO(build_zip())
    with zipfile.ZipFile(package, "a") as archive:
        archive.writestr("probe.py", PROBE)
    names = zipfile.ZipFile(package).namelist()
    modules = [name.removesuffix(".py").replace("/", ".") for name in names if name.startswith("legacy_ws/")]
    create(local_aws, f"probe-{version.replace('.', '-')}", version, "probe.handler", package.getvalue())
    modules = [name.removesuffix(".__init__") for name in modules if not name.endswith("__main__")]
    found, error = local_aws.invoke(f"probe-{version.replace('.', '-')}", modules)
    assert error is None, found
    assert found["version"] == version
    assert f"cpython-{version.replace('.', '')}-" in Path(found["client"]).name
    assert set(found["modules"]) == SHIPPED | {"legacy_ws", "jwt", "probe"}
    assert not [path for path in found["path"] if "site-packages" in path or "dist-packages" in path]


@pytest.mark.integration
@pytest.mark.parametrize("version", HERE)
def test_the_authorizer_of_the_real_zip_judges_tokens(local_aws: RunningLocalAws, version: str) -> None:
    name, secret = f"authorizer-{version.replace('.', '-')}", "k" * 32
    create(local_aws, name, version, "legacy_ws.apps.authorize.handler", build_zip(), LEGACY_WS_JWT_SECRET=secret)
    token = jwt.encode({"sub": "u", "tenant_id": "t", "exp": time.time() + 60}, secret)
    answer, error = local_aws.invoke(name, {"methodArn": "arn", "queryStringParameters": {"token": token}})
    assert error is None, answer
    assert answer["context"] == {"userId": "u", "tenantId": "t"}
    answer, error = local_aws.invoke(name, {"methodArn": "arn", "queryStringParameters": {"token": token[:-9]}})
    assert (error, answer["errorMessage"]) == ("Unhandled", "Unauthorized")
    messages = wait_for(lambda: [m for m in local_aws.messages(name) if '"unauthorized"' in m])
    assert token[:-9] not in json.dumps(local_aws.messages(name))
    assert not [m for m in messages if "[local]" in m]


def lock_file(folder: Path, names: tuple[str, ...]) -> Path:
    path = folder / "requirements.lock"
    entries = [f"{name}==1.0 \\\n    --hash=sha256:{name}-1 \\\n    --hash=sha256:{name}-2\n" for name in names]
    path.write_text("# a comment\naiohttp==3.0 \\\n    --hash=sha256:other\n" + "".join(entries))
    return path


def test_releases_and_hashes_come_from_the_lock_file(tmp_path: Path) -> None:
    text = requirements(lock_file(tmp_path, runtime_site._DISTRIBUTIONS))
    assert text.count("==1.0") == len(runtime_site._DISTRIBUTIONS)
    assert "--hash=sha256:awslambdaric-2" in text
    assert "aiohttp" not in text and "other" not in text


def test_the_projects_lock_file_names_them_all() -> None:
    """A package that drops out of the lock file would be installed unchecked from then on."""
    assert requirements(runtime_site._LOCK_FILE).count("==") == len(runtime_site._DISTRIBUTIONS)
    assert "--hash=sha256:" in requirements(runtime_site._LOCK_FILE)


def test_without_a_whole_lock_file_the_releases_are_our_own(tmp_path: Path) -> None:
    for path in (tmp_path / "none", lock_file(tmp_path, runtime_site._DISTRIBUTIONS[:3])):
        text = requirements(path)
        assert f"boto3=={importlib.metadata.version('boto3')}\n" in text
        assert "--hash" not in text


def program(path: Path, script: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine of its own: PATH, pyenv and our Python's neighbours lie below the folder."""
    monkeypatch.setenv("PATH", os.pathsep.join([str(tmp_path / "shims"), str(tmp_path / "bin")]))
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path / "pyenv"))
    monkeypatch.setattr(sys, "base_prefix", str(tmp_path / "uv" / "cpython-3.11.9-linux"))
    return tmp_path


def test_where_interpreters_are_looked_for(machine: Path) -> None:
    expected = [
        program(machine / "shims" / "python3.12", "exit 127"),
        program(machine / "bin" / "python3.12", ""),
        program(machine / "uv" / "cpython-3.12.10-linux" / "bin" / "python3.12", ""),
        program(machine / "uv" / "cpython-3.12.9-linux" / "bin" / "python3.12", ""),
        program(machine / "pyenv" / "versions" / "3.12.1" / "bin" / "python3.12", ""),
    ]
    program(machine / "bin" / "python3.13", "")
    (machine / "pyenv" / "versions" / "3.12.2" / "bin").mkdir(parents=True)
    (machine / "pyenv" / "versions" / "3.12.2" / "bin" / "python3.12").write_text("not executable")
    assert candidates("python3.12") == expected


async def test_our_own_version_needs_no_search(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`migrate up` with the environment's version waits for nothing."""

    def never(*arguments: object) -> list[Path]:
        raise AssertionError("it was looked for")

    monkeypatch.setattr(interpreters, "candidates", never)
    found = await Interpreters(machine / "site", machine / "sites").find(f"python{OURS}")
    assert found == Interpreter(sys.executable, OURS, machine / "site")
    assert not (machine / "sites").exists()


async def test_a_version_that_is_not_there_falls_back_with_a_note(machine: Path) -> None:
    program(machine / "shims" / "python3.12", "echo 'pyenv: python3.12: command not found' >&2; exit 127")
    program(machine / "bin" / "python3.12", "echo 3.9 /usr/bin/python3.9")
    found = await Interpreters(machine / "site", machine / "sites").find("python3.12")
    assert (found.program, found.version, found.site) == (sys.executable, OURS, machine / "site")
    assert found.warning == f"python3.12 is not installed here: running with Python {OURS}"


async def test_without_packages_for_a_version_ours_runs_with_a_note(
    machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No network, say: an installer that fails, and one that makes a folder without the packages."""
    program(machine / "bin" / "python3.12", 'case "$*" in *sys.executable*) echo 3.12 /the/real/one;; *) exit 1;; esac')
    fails = program(machine / "bin" / "fails", "exit 2")
    makes = program(machine / "bin" / "makes", f"/bin/mkdir -p {machine}/sites/.made")
    monkeypatch.setattr(runtime_site, "_installers", lambda *_: [(str(fails),), (str(makes),)])
    found = await Interpreters(machine / "site", machine / "sites").find("python3.12")
    assert found.version == OURS
    assert found.warning is not None and "is there a network?" in found.warning
    assert [path.name for path in (machine / "sites").iterdir()] == [".made"]


async def test_an_installer_that_hangs_is_ended(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pid_file = machine / "pid"
    hangs = program(machine / "bin" / "hangs", f"echo $$ > {pid_file}; exec /bin/sleep 60")
    monkeypatch.setattr(runtime_site, "_installers", lambda *_: [(str(hangs),)])
    monkeypatch.setattr(runtime_site, "_MAKE_S", 1.0)
    assert await make_site(sys.executable, OURS, machine / "sites") is None
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid_file.read_text()), 0)


async def test_a_site_is_made_once_and_replaces_what_was_cut_off(
    machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Made from links to our own packages; the installer counts how often it was asked."""
    sites, made = machine / "sites", []
    (sites / f".python{OURS}-0123.99").mkdir(parents=True)
    (sites / f"python{OURS}-older").mkdir()
    (sites / "python3.99-other").mkdir()

    def installers(program_: str, version: str, target: Path, *_: object) -> list[tuple[str, ...]]:
        made.append(version)
        code = (
            "import sys; from pathlib import Path; from migrate.local.functions.runtime_site import build_runtime_site"
        )
        return [(sys.executable, "-c", f"{code}; build_runtime_site(Path(sys.argv[1]))", str(target))]

    monkeypatch.setattr(runtime_site, "_installers", installers)
    first = await make_site(sys.executable, OURS, sites)
    assert first is not None and (first / "boto3").exists()
    assert await make_site(sys.executable, OURS, sites) == first
    assert made == [OURS]
    assert sorted(path.name for path in sites.iterdir()) == sorted([first.name, "python3.99-other"])


async def test_functions_that_start_at_once_share_one_search(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    async def slow(program_: str, version: str, parent: Path) -> Path:
        calls.append(version)
        await asyncio.sleep(0)
        return parent / version

    program(machine / "bin" / "python3.12", "echo 3.12 /the/real/one")
    monkeypatch.setattr(interpreters, "make_site", slow)
    finder = Interpreters(machine / "site", machine / "sites")
    found = await asyncio.gather(*(finder.find("python3.12") for _ in range(5)))
    assert {one.program for one in found} == {"/the/real/one"}
    assert calls == ["3.12"]
