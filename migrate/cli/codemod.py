"""`migrate codemod`: clients rewritten to the drop-in client, or to EventSource and REST. until phase 3 (MG4, WL12)"""

from __future__ import annotations

import contextlib
import difflib
import os
import sys
import tempfile
from collections import Counter
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from migrate.cli.options import JsonOption
from migrate.cli.output import err, out, print_json, reports_errors
from migrate.cli.scan import ApiIdOption, ConfigOption, EnvOption, HostOption, find_config, scan_progress
from migrate.codemod.names import JS_PACKAGE, PY_MODULE, SEND_URL, STREAM_URL
from migrate.errors import RefusedError, UsageError
from migrate.words import counted

if TYPE_CHECKING:
    from migrate.codemod.run import FileRewrite, Rewriter

__all__ = ["codemod"]


class To(StrEnum):
    """What clients are rewritten to."""

    DROPIN = "dropin"
    EVENTSOURCE = "eventsource"


class Module(StrEnum):
    """How plain scripts import, where nothing tells it."""

    ESM = "esm"
    CJS = "cjs"


@reports_errors
def codemod(
    path: Annotated[Path, typer.Argument(help="A directory or a file.")],
    host: HostOption = None,
    api_id: ApiIdOption = None,
    env: EnvOption = None,
    config: ConfigOption = None,
    to: Annotated[To, typer.Option(help="The drop-in client, or EventSource + REST where that is simple.")] = To.DROPIN,
    assume_ours: Annotated[
        bool, typer.Option("--assume-ours", help="Connections whose address cannot be traced go to this stack.")
    ] = False,
    module: Annotated[
        Module | None, typer.Option(help="How plain .js files import, where neither they nor package.json tell.")
    ] = None,
    stream_url: Annotated[str, typer.Option(help="For --to eventsource.")] = STREAM_URL,
    send_url: Annotated[str, typer.Option(help="For --to eventsource.")] = SEND_URL,
    tests: Annotated[bool, typer.Option("--tests/--no-tests", help="Rewrite tests as well.")] = True,
    write: Annotated[bool, typer.Option("--write", help="Write the files; otherwise only the diff is shown.")] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Write although git has changes that are not committed.")
    ] = False,
    json: JsonOption = False,
) -> None:
    """Rewrite WebSocket clients of this stack. Shows a diff; sockets of other services are left alone.

    Exit code 0: done, also when something was left as a hint. 2: wrong usage. 5: refused, git has changes.

    Example: migrate codemod src --host chat.example.com --write
    """
    from migrate.codemod.model import Options
    from migrate.codemod.run import Rewriter
    from migrate.scan.config import identity_from

    if not path.exists():
        raise UsageError(f"there is no {path}", "name a directory or a file that exists")
    identity = identity_from(find_config(config), api_id, host, env)
    options = Options(to.value, assume_ours, module.value if module else None, stream_url, send_url)
    rewriter = Rewriter(path, identity, options)
    done, problems = _rewrite(path, rewriter, tests)
    changed = [one for one in done if one.changed]
    if write:
        _refuse_dirty(path, rewriter, changed, force)
        for one in changed:
            _write(one)
    if json:
        print_json(_as_json(done, problems, write))
    else:
        for one in changed:
            _show(one)
    _summary(done, problems, changed, write)


def _rewrite(path: Path, rewriter: Rewriter, tests: bool) -> tuple[list[FileRewrite], list[tuple[str, str]]]:
    from migrate.codemod.run import files_to_rewrite
    from migrate.scan.run import ScanOptions, scan_tree
    from migrate.scan.source import NotTextError

    with scan_progress() as progress:
        report = scan_tree([path], ScanOptions(rewriter.identity), progress)
    problems = [(problem.path, f"{problem.reason}: {problem.detail}") for problem in report.problems if problem.suspect]
    broken = {problem.path for problem in report.problems if problem.reason == "broken"}
    done = []
    for name in files_to_rewrite(report, tests=tests):
        if name in broken:
            continue  # half a syntax tree is no ground for an edit
        try:
            one = rewriter.rewrite(Path(name))
        except (OSError, NotTextError) as error:
            problems.append((name, str(getattr(error, "strerror", None) or error)))
            continue
        done.append(one)
        if one.problem is not None:
            problems.append((name, one.problem))
    return done, problems


def _refuse_dirty(path: Path, rewriter: Rewriter, changed: list[FileRewrite], force: bool) -> None:
    """Raises: RefusedError: the rewrite could not be told from other changes, or taken back."""
    from migrate.codemod.git import foreign_changes, repository_of

    if force:
        return
    root = repository_of(path)
    if root is None:
        if changed:
            err.print("not in a git repository: keep the diff, there is no other way back", highlight=False)
        return
    found = foreign_changes(root, [one.path for one in changed], lambda file, data: rewriter.rewrite(file, data).after)
    if found:
        more = f" and {len(found) - 3} more" if len(found) > 3 else ""
        raise RefusedError(
            f"there are changes that are not committed: {', '.join(found[:3])}{more}",
            "commit or stash them, so that the rewrite can be seen and taken back, or use --force",
        )


def _write(one: FileRewrite) -> None:
    """Whole or not at all; a file that was changed meanwhile is left alone."""
    if one.path.read_bytes() != one.before:
        raise RefusedError(f"{one.path} was changed while it was rewritten", "run the command again")
    target = one.path.resolve()
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(one.after)
            file.flush()
            os.fsync(file.fileno())
        Path(name).chmod(target.stat().st_mode & 0o7777)
        Path(name).replace(target)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            Path(name).unlink()
        raise


def _diff(one: FileRewrite) -> list[str]:
    """A unified diff whose lines end as the file's lines do, so that `git apply` takes it."""
    name = one.path.as_posix().removeprefix("./")
    lines = difflib.unified_diff(
        _lines(one.text_before), _lines(one.text_after), f"a/{name.lstrip('/')}", f"b/{name.lstrip('/')}"
    )
    return [line if line.endswith("\n") else line + "\n\\ No newline at end of file\n" for line in lines]


def _lines(text: str) -> list[str]:
    """Lines that end with LF only, as diff and git see them."""
    parts = text.split("\n")
    return [part + "\n" for part in parts[:-1]] + ([parts[-1]] if parts[-1] else [])


def _show(one: FileRewrite) -> None:
    if not out.is_terminal:
        # As git does: the file's own bytes, so that the diff can be applied.
        encoding = one.encoding if one.encoding in {"utf-8", "latin-1"} else "utf-8"
        sys.stdout.flush()
        sys.stdout.buffer.write("".join(_diff(one)).encode(encoding))
        sys.stdout.buffer.flush()
        return
    for line in _diff(one):
        style = {"+": "green", "-": "red", "@": "cyan"}.get(line[0], "")
        out.print(line.rstrip("\r\n"), style=style, markup=False, highlight=False)


def _as_json(done: list[FileRewrite], problems: list[tuple[str, str]], write: bool) -> dict[str, Any]:
    return {
        "written": write,
        "files": [
            {
                "path": one.path.as_posix(),
                "changed": one.changed,
                "changes": [{"kind": c.kind, "line": c.offset, "what": c.what} for c in one.changes],
                "diff": "".join(_diff(one)),
            }
            for one in done
        ],
        "problems": [{"path": path, "detail": detail} for path, detail in problems],
    }


def _has_package(path: Path) -> bool:
    """Whether the nearest package.json above a file names the client."""
    for folder in path.absolute().parents:
        manifest = folder / "package.json"
        if manifest.is_file():
            return f'"{JS_PACKAGE}"' in manifest.read_text(encoding="utf-8", errors="replace")
    return False


def _summary(done: list[FileRewrite], problems: list[tuple[str, str]], changed: list[FileRewrite], write: bool) -> None:
    for path, detail in problems:
        err.print(f"{path}: left as it is ({detail})", markup=False, highlight=False)
    for one in done:
        for change in one.changes:
            if change.kind == "hint":
                err.print(f"{one.path}:{change.offset}: not rewritten: {change.what}", markup=False, highlight=False)
    counts = Counter(change.kind for one in done for change in one.changes)
    err.print(
        f"{counted(counts['rewritten'], 'connection')} rewritten, "
        f"{counted(counts['marked'], 'place')} of reconnect logic marked, {counts['hint']} left to you; "
        f"{counted(len(changed), 'file')} {'written' if write else 'would change'}",
        highlight=False,
    )
    if counts["rewritten"]:
        texts = "".join(one.text_after for one in changed)
        if any(JS_PACKAGE in one.text_after and not _has_package(one.path) for one in changed):
            err.print(
                f"hint: add {JS_PACKAGE} to package.json: docs/guides/client-migration.md says where it is",
                highlight=False,
            )
        if PY_MODULE in texts:
            err.print("hint: add ws2sse[client] to the requirements", markup=False, highlight=False)
    if changed and not write:
        err.print("hint: --write writes the files", highlight=False)
