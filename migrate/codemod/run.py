"""Files to rewritten files: nothing is written here. until phase 3 (MG4)"""

from __future__ import annotations

import ast
import json
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from migrate.codemod.edits import apply
from migrate.codemod.js_eventsource import rewrite_to_eventsource
from migrate.codemod.js_imports import module_kind
from migrate.codemod.js_rewrite import JsDocument, rewrite_to_dropin
from migrate.codemod.model import Change, Options, Rewrite
from migrate.codemod.py_rewrite import rewrite_python
from migrate.scan.files import JS, MARKUP
from migrate.scan.identity import StackIdentity
from migrate.scan.js_file import JsFile
from migrate.scan.js_values import JsValues
from migrate.scan.markup import scripts
from migrate.scan.model import Kind, ScanReport
from migrate.scan.project import Project
from migrate.scan.py_file import PyFile
from migrate.scan.py_values import PyValues
from migrate.scan.source import Lines, NotTextError, Source, decode

__all__ = ["FileRewrite", "Rewriter", "files_to_rewrite"]


@dataclass(frozen=True, slots=True)
class FileRewrite:
    """One file, before and after.

    Attributes:
        changes: what was done, with line numbers of the old text in place of offsets.
        problem: why the file was left as it is although something was to be done.
    """

    path: Path
    before: bytes
    after: bytes
    text_before: str
    text_after: str
    encoding: str
    changes: tuple[Change, ...]
    problem: str | None = None

    @property
    def changed(self) -> bool:
        """Whether a byte differs."""
        return self.before != self.after


def files_to_rewrite(report: ScanReport, *, tests: bool) -> list[str]:
    """Paths of the files in which a client connects, in order."""
    return sorted(
        {
            found.path
            for found in report.findings
            if found.kind is Kind.CLIENT
            and found.rule != "url-setting"
            and not found.is_other
            and (tests or not found.in_test)
        }
    )


class Rewriter:
    """Rewrites files of one tree."""

    def __init__(self, root: Path, identity: StackIdentity, options: Options) -> None:
        self.root = root.absolute() if root.is_dir() else root.absolute().parent
        self._project = Project(self.root)
        self.identity = identity
        self._options = options

    def rewrite(self, path: Path, data: bytes | None = None) -> FileRewrite:
        """Rewrite one file, or other bytes as if they were in it.

        Raises: OSError: it cannot be read. NotTextError: it is no text.
        """
        before = path.read_bytes() if data is None else data
        source = decode(before)
        if source.encode(source.text) != before:
            raise NotTextError("its encoding cannot be written back byte for byte")
        done = self._rewrite(path.absolute(), source)
        lines = Lines(source.text)
        changes = tuple(
            Change(change.kind, lines.position(change.offset)[0], change.what)
            for change in sorted(done.changes, key=lambda change: change.offset)
        )
        try:
            after = apply(source.text, done.edits)
        except ValueError as error:
            return FileRewrite(path, before, before, source.text, source.text, source.encoding, (), str(error))
        if not _parses(path, after):
            # Rather nothing than half: the old text was odd in a way that the rules do not know.
            left = "it does not parse, before or after the rewrite"
            return FileRewrite(path, before, before, source.text, source.text, source.encoding, (), left)
        return FileRewrite(path, before, source.encode(after), source.text, after, source.encoding, changes)

    def _rewrite(self, path: Path, source: Source) -> Rewrite:
        suffix, text = path.suffix.lower(), source.text
        if suffix in {".py", ".pyi"}:
            module = PyFile(text)
            return rewrite_python(text, module, PyValues(module, path, self._project), self.identity, self._options)
        if suffix in JS:
            file = JsFile(text, typescript=suffix in {".ts", ".mts", ".cts"})
            declared = self._options.module or _package_type(path.parent, self.root)
            kind = module_kind(file, suffix, declared, None)
            return self._script(JsDocument(text, file, JsValues(file, path, self._project), kind))
        done = Rewrite()
        for script in scripts(path.name, text) if suffix in MARKUP else ():
            file = JsFile(script.text, typescript=script.typescript)
            values = JsValues(file, path, self._project)
            kind = module_kind(file, suffix, None, script.module)
            done.merge(self._script(JsDocument(text, file, values, kind, script.start)))
        return done

    def _script(self, document: JsDocument) -> Rewrite:
        if self._options.to == "eventsource":
            return rewrite_to_eventsource(document, self.identity, self._options)
        return rewrite_to_dropin(document, self.identity, self._options)


def _parses(path: Path, text: str) -> bool:
    suffix = path.suffix.lower()
    if suffix in {".py", ".pyi"}:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                ast.parse(text)
        except (SyntaxError, ValueError, RecursionError):
            return False
        return True
    if suffix in JS:
        return not JsFile(text, typescript=suffix in {".ts", ".mts", ".cts"}).broken
    return not any(JsFile(script.text, typescript=script.typescript).broken for script in scripts(path.name, text))


def _package_type(directory: Path, root: Path) -> str | None:
    """`type` of the nearest package.json; `commonjs` says nothing, since bundlers do not care."""
    for parent in _upwards(directory, root):
        manifest = parent / "package.json"
        if manifest.is_file():
            try:
                value = json.loads(manifest.read_text(encoding="utf-8"))
            except (OSError, ValueError):
                return None
            return value.get("type") if isinstance(value, dict) else None
    return None


def _upwards(directory: Path, root: Path) -> Sequence[Path]:
    return [parent for parent in (directory, *directory.parents) if parent.is_relative_to(root)]
