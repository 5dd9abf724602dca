"""Packages for WebSocket in manifests, addresses in settings files. Pure. until phase 3 (MG3)"""

from __future__ import annotations

import re
from collections.abc import Iterator

from migrate.redact import redact
from migrate.scan.identity import StackIdentity
from migrate.scan.model import Confidence, Hit
from migrate.scan.packages import PYTHON_PACKAGES, npm_package
from migrate.scan.tree import Tree

__all__ = ["dotenv_hits", "dotenv_values", "npm_hits", "python_manifest_hits"]

_NPM_SECTIONS = ("dependencies", "devDependencies", "peerDependencies", "optionalDependencies")
_REQUIREMENT = re.compile(r"^\s*([A-Za-z0-9][\w.-]*)\s*(?:\[[^\]]*\])?\s*(?:[=<>!~;@ #(]|$)")
_TOML_KEY = re.compile(r"^\s*[\"']?([A-Za-z0-9][\w.-]*)[\"']?\s*=")
_TOML_TABLE = re.compile(r"^\s*\[+\s*([^\]]+?)\s*\]+")
_QUOTED = re.compile(r"[\"']([A-Za-z0-9][\w.-]*)\s*(?:\[[^\]]*\])?\s*(?:[=<>!~;@ ][^\"']*)?[\"']")
_LIST_KEY = re.compile(r"^\s*[\"']?([\w.-]*)[\"']?\s*=\s*\[")
_EXTRA = re.compile(r"\[[^\]]*(?:websockets|standard)[^\]]*\]")
_DOTENV = re.compile(r"^[ \t]*(?:export[ \t]+)?([A-Za-z_]\w*)[ \t]*=[ \t]*(.*?)[ \t]*$", re.MULTILINE)
_DEPENDENCY_KEYS = frozenset({"dependencies", "requires", "install_requires", "dev", "test"})


def npm_hits(tree: Tree) -> list[Hit]:
    """Dependencies of a package.json."""
    found = []
    for section in _NPM_SECTIONS:
        for key, _ in (tree.get(section) or Tree(0, 0)).pairs or ():
            sure = npm_package(key.text or "")
            if sure is not None:
                found.append(Hit("npm-dependency", key.start, key.end, key.text or "", section, Confidence(sure)))
    return found


def python_manifest_hits(name: str, text: str) -> list[Hit]:
    """Dependencies in requirements*.txt, pyproject.toml, Pipfile, setup.cfg, environment.yml, *.in."""
    lowered = name.lower()
    if lowered == "pyproject.toml":
        return list(_pyproject(text))
    if lowered == "pipfile":
        return list(_pipfile(text))
    return list(_requirements(text))


def _canonical(name: str) -> str:
    """Name of a package as PEP 503 compares it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _known(name: str) -> bool:
    return _canonical(name) in PYTHON_PACKAGES


def _lines(text: str) -> Iterator[tuple[int, str]]:
    offset = 0
    for line in text.splitlines(keepends=True):
        yield offset, line.rstrip("\r\n")
        offset += len(line)


def _hit(offset: int, line: str, name: str, symbol: str) -> Hit:
    start = offset + line.index(name)
    return Hit("python-dependency", start, start + len(name), _canonical(name), symbol)


def _requirements(text: str) -> Iterator[Hit]:
    for offset, line in _lines(text):
        stripped = re.sub(r"^\s*-\s+", "", line)  # conda: `- websockets=12`
        match = _REQUIREMENT.match(stripped)
        if match and _known(match.group(1)) and not stripped.lstrip().startswith("#"):
            yield _hit(offset, line, match.group(1), "")


def _pyproject(text: str) -> Iterator[Hit]:
    table, inside = "", False
    for offset, line in _lines(text):
        bare = line.split(" #")[0]
        header = _TOML_TABLE.match(bare)
        if header and not inside:
            table = header.group(1)
            continue
        opened = _LIST_KEY.match(bare)
        if opened and not inside:
            key = opened.group(1)
            inside = (
                key in _DEPENDENCY_KEYS or key.endswith("dependencies")
                or table.endswith(("optional-dependencies", "dependency-groups", "dev-dependencies"))
            )  # fmt: skip
        if inside and not bare.lstrip().startswith("#"):
            for match in _QUOTED.finditer(bare):
                if _known(match.group(1)):
                    yield _hit(offset, line, match.group(1), table)
        elif "dependencies" in table and table.startswith("tool."):
            named = _TOML_KEY.match(bare)
            if named and _known(named.group(1)):
                yield _hit(offset, line, named.group(1), table)
        if inside and _EXTRA.sub("", bare).rstrip().endswith("]"):
            inside = False


def _pipfile(text: str) -> Iterator[Hit]:
    table = ""
    for offset, line in _lines(text):
        header = _TOML_TABLE.match(line)
        if header:
            table = header.group(1)
            continue
        named = _TOML_KEY.match(line)
        if named and table not in {"requires", "source", "scripts"} and _known(named.group(1)):
            yield _hit(offset, line, named.group(1), table)


def dotenv_values(text: str) -> dict[str, str]:
    """Variables of a settings file."""
    return {name: value.strip("'\"") for name, value in _DOTENV.findall(text)}


def dotenv_hits(text: str, identity: StackIdentity) -> list[Hit]:
    """Variables that hold the address of a WebSocket."""
    found = []
    for match in _DOTENV.finditer(text):
        value = match.group(2).strip("'\"")
        if value.startswith(("ws://", "wss://")):
            target = identity.judge([value])
            code = f"{match.group(1)}"
            start, end = match.start(1), match.end(2)
            found.append(Hit("url-setting", start, end, code, "", Confidence.MEDIUM, target, (redact(value),)))
    return found
