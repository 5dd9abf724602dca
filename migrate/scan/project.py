"""The other files that an analyser may need: imported modules, settings, sibling Terraform files. until phase 3"""

from __future__ import annotations

import os
import re
from functools import lru_cache
from pathlib import Path

from migrate.scan.js_file import JsFile
from migrate.scan.manifests import dotenv_values
from migrate.scan.markup import scripts
from migrate.scan.py_file import PyFile
from migrate.scan.source import NotTextError, decode
from migrate.scan.terraform import Block, hcl_blocks, tf_json_blocks
from migrate.scan.tree import BrokenError, parse_json
from migrate.scan.words import CODE, has_any

__all__ = ["Project"]

MAX_MODULE_BYTES = 1_000_000
LARGE_MODULE = 10_000
_JS_ENDINGS = (
    "",
    ".ts",
    ".tsx",
    ".js",
    ".jsx",
    ".mjs",
    ".mts",
    ".cjs",
    ".vue",
    ".svelte",
    "/index.ts",
    "/index.tsx",
    "/index.js",
)
_SOURCE_PREFIX = re.compile(r"^(?:@/|~/|~|\$lib/|src/|/src/)")
_TYPESCRIPT = (".ts", ".mts", ".cts")


class Project:
    """Reads modules of one tree, each at most once. A file that cannot be read is as if it were not there."""

    def __init__(self, root: Path) -> None:
        self.root = root.absolute()
        self.js = lru_cache(maxsize=512)(self._js)
        self.py = lru_cache(maxsize=512)(self._py)
        self._entries = lru_cache(maxsize=4096)(_names_in)
        self._settings = lru_cache(maxsize=1024)(self._settings_of)
        self.tf = lru_cache(maxsize=256)(self._tf)
        self._py_bases = lru_cache(maxsize=4096)(self._within_and_src)
        self._py_path = lru_cache(maxsize=20_000)(self._find_py)
        self._js_path = lru_cache(maxsize=20_000)(self._find_js)

    # ModuleLoader of JavaScript

    def js_module(self, importer: Path, specifier: str) -> tuple[Path, JsFile] | None:
        """The module a specifier means; `@/x`, `~/x`, `$lib/x`, `src/x` are looked for under the nearest `src`."""
        path = self._js_path(importer.parent, specifier)
        module = self.js(path) if path is not None else None
        return (path, module) if path is not None and module is not None else None

    def _find_js(self, directory: Path, specifier: str) -> Path | None:
        bare = specifier.split("?")[0]
        if bare.startswith("."):
            bases = [directory / bare]
        else:
            rest = ("lib/" if bare.startswith("$lib/") else "") + _SOURCE_PREFIX.sub("", bare)
            bases = [parent / "src" / rest for parent in self._within(directory)]
        for base in bases:
            # `./socket.js` is `./socket.ts` before it is compiled.
            stems = [str(base)] + ([str(base)[:-3]] if base.suffix in {".js", ".mjs"} else [])
            for stem in stems:
                for ending in _JS_ENDINGS:
                    path = Path(stem + ending)
                    if path.is_file():
                        return path
        return None

    def _within(self, directory: Path) -> list[Path]:
        """A directory and those above it, up to the root of the tree."""
        return [parent for parent in (directory, *directory.parents) if parent.is_relative_to(self.root)]

    def _js(self, path: Path) -> JsFile | None:
        text = _read(path)
        if text is None:
            return None
        if path.suffix in {".vue", ".svelte"}:
            found = scripts(path.name, text)
            return JsFile(found[0].text, typescript=found[0].typescript) if found else None
        return JsFile(text, typescript=path.suffix in _TYPESCRIPT)

    # PyLoader

    def py_module(self, importer: Path, module: str) -> tuple[Path, PyFile] | None:
        """The module a dotted name means: relative to the importer, or from one of the directories above it."""
        path = self._py_path(importer.parent, module)
        if path is None or path == importer:
            return None
        file = self.py(path)
        return (path, file) if file is not None else None

    def _find_py(self, directory: Path, module: str) -> Path | None:
        dots = len(module) - len(module.lstrip("."))
        parts = [part for part in module[dots:].split(".") if part]
        if not parts:
            return None
        if dots:
            bases = (
                [directory if dots == 1 else directory.parents[dots - 2]] if dots - 2 < len(directory.parents) else []
            )
        else:
            bases = self._py_bases(directory)
        last = f"{parts[-1]}.py"
        for base in bases:
            # Most names are of packages elsewhere: a directory that holds nothing of that name is not asked further.
            if not self._entries(base).isdisjoint((parts[0], last)):
                inner = base.joinpath(*parts[:-1])
                for path in (inner / last, inner / parts[-1] / "__init__.py"):
                    if path.is_file():
                        return path
        return None

    def _within_and_src(self, directory: Path) -> list[Path]:
        above = self._within(directory)
        return above + [base / "src" for base in above[-1:]]

    def _py(self, path: Path) -> PyFile | None:
        text = _read(path)
        # A large module without a word of ours passes no class on and holds no address.
        if text is None or (len(text) > LARGE_MODULE and not has_any(text.lower().encode(errors="replace"), CODE)):
            return None
        return PyFile(text)

    # settings

    def setting(self, importer: Path, name: str) -> tuple[str, ...]:
        """Values of a variable in the .env files next to a file and above it, up to the root of the tree."""
        for parent in importer.parents:
            values = self._settings(parent).get(name)
            if values:
                return tuple(values)
            if parent == self.root:
                break
        return ()

    def _settings_of(self, directory: Path) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for path in sorted(directory.glob(".env*")):
            text = _read(path) if path.is_file() else None
            for name, value in dotenv_values(text or "").items():
                if value:
                    found.setdefault(name, []).append(value)
        return found

    # Terraform

    def _tf(self, directory: Path) -> tuple[Block, ...]:
        """The blocks of all files of a module."""
        found: list[Block] = []
        for path in sorted(directory.glob("*.tf")):
            found += hcl_blocks(_read(path) or "")[0]
        for path in sorted(directory.glob("*.tf.json")):
            try:
                found += tf_json_blocks(parse_json(_read(path) or ""))
            except BrokenError:
                continue
        return tuple(found)


def _names_in(directory: Path) -> frozenset[str]:
    try:
        return frozenset(os.listdir(directory))  # noqa: PTH208 - names only
    except OSError:
        return frozenset()


def _read(path: Path) -> str | None:
    try:
        if path.stat().st_size > MAX_MODULE_BYTES:
            return None
        return decode(path.read_bytes()).text
    except (OSError, NotTextError):
        return None
