"""One file to its findings. until phase 3 (MG3)"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

from migrate.redact import redact, snippet
from migrate.scan.cloudformation import tree_hits
from migrate.scan.files import JS, MARKUP, generated, is_test
from migrate.scan.fingerprint import fingerprint
from migrate.scan.identity import StackIdentity
from migrate.scan.js_file import JsFile
from migrate.scan.js_rules import js_uses
from migrate.scan.js_values import JsValues
from migrate.scan.manifests import dotenv_hits, npm_hits, python_manifest_hits
from migrate.scan.markup import scripts
from migrate.scan.model import Confidence, Finding, Hit, Problem
from migrate.scan.packages import JS_CALLS, JS_NEW, PY_CALLS
from migrate.scan.project import Project
from migrate.scan.py_file import PyFile
from migrate.scan.py_rules import py_uses
from migrate.scan.py_values import PyValues
from migrate.scan.rules import RULES
from migrate.scan.source import Lines, NotTextError, Source, decode
from migrate.scan.terraform import terraform_hits, terraform_json_hits
from migrate.scan.tree import BrokenError, parse_json, parse_yaml
from migrate.scan.words import CODE, JSON, TERRAFORM, YAML, has_any

__all__ = ["FileResult", "Scanner"]

_FALLBACK = (
    (re.compile(r"ProtocolType[\"']?\s*:\s*[\"']?WEBSOCKET"), "cfn-api"),
    (re.compile(r"^\s*-\s*websocket\s*:", re.MULTILINE), "serverless-route"),
    (re.compile(r"AWS::Serverless::WebSocketApi"), "sam-api"),
    (re.compile(r"execute-api:ManageConnections", re.IGNORECASE), "iam-connections"),
)
_CLIENTS = frozenset(
    {*(n for n, r in (JS_NEW | JS_CALLS).items() if "client" in r or "socket" in r or "library" in r)}
    | {n for n, r in PY_CALLS.items() if r == "py-client"}
)


@dataclass(slots=True)
class FileResult:
    """What one file gave.

    Attributes:
        skipped: why its content was not looked at: minified, generated.
        plain: it was not parsed, because none of our words is in it.
        exports: it passes a WebSocket class on under names of its own; files that import it must be parsed too.
    """

    path: str
    findings: list[Finding] = field(default_factory=list)
    problem: Problem | None = None
    skipped: str | None = None
    plain: bool = False
    exports: str | None = None


class Scanner:
    """Scans files of one tree.

    Args:
        root: the tree; modules are looked for in it, and paths tell from it whether they are tests.
        identity: which addresses are this stack's.
        max_bytes: larger files are only searched for words.
        shown_from: the directory that reported paths are relative to.
    """

    def __init__(self, root: Path, identity: StackIdentity, *, max_bytes: int, shown_from: Path) -> None:
        self.root = root.absolute() if root.is_dir() else root.absolute().parent
        self.identity = identity
        self.project = Project(self.root)
        self._max_bytes = max_bytes
        self._shown_from = shown_from

    def shown(self, path: Path) -> str:
        """A path as reports name it."""
        absolute = path.absolute()
        base = self._shown_from
        return (absolute.relative_to(base) if absolute.is_relative_to(base) else absolute).as_posix()

    def scan(self, path: Path, *, must_parse: bool = False) -> FileResult:
        """Scan one file; never raises for what a file holds or is."""
        name = self.shown(path)
        try:
            size = path.stat().st_size
            if size > self._max_bytes:
                return FileResult(name, problem=_huge(path, name, size))
            data = path.read_bytes()
        except OSError as error:
            return FileResult(name, problem=Problem(name, "unreadable", error.strerror or "cannot be read", True))
        try:
            return self._scan_bytes(path.absolute(), name, data, must_parse)
        except NotTextError as error:
            return FileResult(name, problem=Problem(name, "binary", str(error)))
        except RecursionError:
            return FileResult(name, problem=Problem(name, "broken", "nested too deeply", True))
        except Exception as error:  # one odd file must not end a scan of ten thousand
            detail = f"the scanner failed on it ({type(error).__name__})"
            return FileResult(name, problem=Problem(name, "broken", detail, True))

    def _scan_bytes(self, path: Path, name: str, data: bytes, must_parse: bool) -> FileResult:
        wanted = must_parse or _has_words(path, data)
        if not wanted and not data.startswith((b"\xff\xfe", b"\xfe\xff")):
            return FileResult(name, plain=True)
        source = decode(data)
        reason = generated(path.name, source)
        if reason is not None:
            return FileResult(name, skipped=reason)
        hits, broken, exports = self._hits(path, source)
        return FileResult(name, self._findings(path, name, source, hits), broken, exports=exports)

    def _hits(self, path: Path, source: Source) -> tuple[list[Hit], Problem | None, str | None]:
        name, suffix, text = path.name, path.suffix.lower(), source.text
        shown = self.shown(path)
        if suffix in JS:
            # Parsed by now, when another module imports it.
            file = self.project.js(path) or JsFile(text, typescript=suffix in {".ts", ".mts", ".cts"})
            values = JsValues(file, path, self.project)
            hits = [use.hit for use in js_uses(values, self.identity)]
            return hits, _broken(shown, file.broken), _js_exports(values, path)
        if suffix in MARKUP:
            hits, broken = [], False
            for script in scripts(name, text):
                file = JsFile(script.text, typescript=script.typescript)
                hits += [use.hit for use in js_uses(JsValues(file, path, self.project), self.identity)]
                broken = broken or file.broken
            return hits, _broken(shown, broken), None
        if suffix in {".py", ".pyi"}:
            module = self.project.py(path) or PyFile(text)
            py_values = PyValues(module, path, self.project)
            hits = [use.hit for use in py_uses(py_values, self.identity)]
            return hits, _broken(shown, module.broken), _py_exports(py_values, path)
        if suffix == ".tf":
            return terraform_hits(text, self.project.tf(path.parent)), None, None
        if name.startswith(".env"):
            return dotenv_hits(text, self.identity), None, None
        if suffix in {".txt", ".in", ".toml", ".cfg"} or name == "Pipfile":
            return python_manifest_hits(name, text), None, None
        return self._config_hits(path, shown, text)

    def _config_hits(self, path: Path, shown: str, text: str) -> tuple[list[Hit], Problem | None, str | None]:
        try:
            if path.suffix.lower() == ".json" or text.lstrip()[:1] == "{":
                tree = parse_json(text)
                if path.name == "package.json":
                    return npm_hits(tree), None, None
                hits = tree_hits(tree)
                if path.name.endswith(".tf.json"):
                    hits += terraform_json_hits(tree, self.project.tf(path.parent))
                return hits, None, None
            hits = [hit for tree in parse_yaml(text) for hit in tree_hits(tree)]
            if path.name in {"environment.yml", "environment.yaml"}:
                hits += python_manifest_hits(path.name, text)
            return hits, None, None
        except BrokenError as error:
            found = [
                Hit(rule, match.start(), match.end(), rule, "", Confidence.LOW)
                for pattern, rule in _FALLBACK
                for match in pattern.finditer(text)
            ]
            return found, Problem(shown, "broken", str(error), suspect=True), None

    def _findings(self, path: Path, name: str, source: Source, hits: list[Hit]) -> list[Finding]:
        if not hits:
            return []
        lines = Lines(source.text)
        root = self.root if path.is_relative_to(self.root) else path.parent
        in_test = is_test(path.relative_to(root).as_posix())
        found = []
        for hit in sorted(hits, key=lambda hit: (hit.start, hit.rule)):
            line, column = lines.position(hit.start)
            end_line, end_column = lines.position(max(hit.start, hit.end - 1))
            code = redact(hit.code)
            shown_text = source.text[hit.start : min(hit.end, hit.start + 400)]
            found.append(
                Finding(
                    rule=hit.rule,
                    kind=RULES[hit.rule].kind,
                    confidence=hit.confidence.lowered() if in_test else hit.confidence,
                    path=name,
                    line=line,
                    column=column,
                    end_line=end_line,
                    end_column=end_column + 1,
                    snippet=snippet(shown_text),
                    code=code[:300],
                    symbol=hit.symbol,
                    fingerprint=fingerprint(hit.rule, code, hit.symbol),
                    target=hit.target,
                    urls=hit.urls,
                    in_test=in_test,
                )
            )
        return found


def _has_words(path: Path, data: bytes) -> bool:
    name, suffix = path.name, path.suffix.lower()
    if (
        name == "package.json"
        or name.startswith(".env")
        or suffix in {".txt", ".in", ".toml", ".cfg"}
        or name == "Pipfile"
    ):
        return True
    if name.startswith("environment.y"):
        return True
    lowered = data.lower()
    if suffix in {".yml", ".yaml", ".template"}:
        return has_any(lowered, YAML) or (lowered[:1] == b"{" and has_any(lowered, JSON))
    if suffix == ".tf" or name.endswith(".tf.json"):
        return has_any(lowered, TERRAFORM)
    if suffix == ".json":
        return has_any(lowered, JSON)
    return has_any(lowered, CODE)


def _huge(path: Path, name: str, size: int) -> Problem:
    """Searched piece by piece, with an overlap."""
    suspect, tail = False, b""
    with path.open("rb") as file:
        while not suspect and (piece := file.read(1_000_000)):
            suspect = has_any((tail + piece).lower(), CODE)
            tail = piece[-64:]
    return Problem(name, "huge", f"{size / 1e6:.1f} MB", suspect)


def _broken(name: str, broken: bool) -> Problem | None:
    return Problem(name, "broken", "parsed only in part", suspect=True) if broken else None


def _stem(path: Path) -> str:
    """The name by which other modules import this one."""
    return path.parent.name if path.stem in {"index", "__init__"} else path.stem


def _js_exports(values: JsValues, path: Path) -> str | None:
    for name in [*values.file.exports, *(["*"] if values.file.star_exports else [])]:
        if name == "*":
            if any(_passes_on(values, module) for module in values.file.star_exports):
                return _stem(path)
            continue
        names = values.exported(f"./{path.name}", name, 0)
        if any((found.removesuffix("*") + "default" if found.endswith("#*") else found) in _CLIENTS for found in names):
            return _stem(path)
    return None


def _passes_on(values: JsValues, module: str) -> bool:
    loaded = values._module(module)
    return loaded is not None and _js_exports(loaded, loaded.path) is not None


def _py_exports(values: PyValues, path: Path) -> str | None:
    for bindings in values.file.bindings.values():
        if any(binding.scope[0] == 0 and binding.kind in {"import", "value", "class"} for binding in bindings):
            found = frozenset(n for b in bindings for n in values._binding(b, 0))
            if found & _CLIENTS:
                return _stem(path)
    return None
