"""What the documents say about commands is true: every command, option and make target they name exists."""

from __future__ import annotations

import functools
import importlib
import importlib.util
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
import typer.main

ROOT = Path(__file__).parent.parent
PROGRAMS = {"migrate": "migrate.cli", "legacy-ws": "legacy_ws.cli", "sse-service": "sse_service.cli"}
CODE = re.compile(r"```[a-z]*\n(.*?)```|`([^`\n]+)`", re.DOTALL)
CALL = re.compile(r"^(?:[A-Z_]+=\S+ )*(?:TOKEN=\$\()?(?:\.venv/bin/)?(migrate|legacy-ws|sse-service|make)( .*)?$")


def documents() -> list[Path]:
    generated = ROOT / "docs" / "reference"
    found = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
    return [path for path in found if not path.is_relative_to(generated)]


def calls(text: str) -> Iterator[tuple[str, str]]:
    """Program and arguments of each command line in code blocks and inline code."""
    for block, inline in CODE.findall(text):
        for line in (block or inline).splitlines():
            match = CALL.match(line.split(" #")[0].strip().rstrip(")"))
            if match:
                yield match.group(1), (match.group(2) or "").strip()


@functools.cache
def command_of(module: str) -> click.Command:
    return typer.main.get_command(importlib.import_module(module).app)


def problem(program: str, arguments: str) -> str | None:
    """What is wrong with one command line, or None."""
    if program == "make":
        targets = re.findall(r"^([a-z0-9-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
        target = arguments.split(" ")[0]
        return None if not target or target in targets else f"no make target {target}"
    module = PROGRAMS[program]
    if importlib.util.find_spec(module.partition(".")[0]) is None:
        return None  # after phase 3 the document is archived with its package
    command = command_of(module)
    try:
        words = shlex.split(arguments.replace("…", "").replace("|", " ").split(">")[0])
    except ValueError:
        words = arguments.split()
    for word in words:
        if word.startswith("--"):
            known = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
            name = word.split("=")[0].strip("[],.")
            if name not in known and name != "--help":
                return f"{program}: no option {name} in `{arguments}`"
        elif getattr(command, "commands", None) is not None:
            commands: dict[str, click.Command] = command.commands  # type: ignore[attr-defined]
            if word not in commands:
                return f"{program}: no command {word} in `{arguments}`"
            # Lists like `up | status | down` name siblings, so a command without arguments stays where it is.
            if " | " not in arguments:
                command = commands[word]
    return None


@pytest.mark.parametrize("path", documents(), ids=lambda path: str(path.relative_to(ROOT)))
def test_every_command_a_document_names_exists(path: Path) -> None:
    """A renamed option or command fails here, with the document's name."""
    problems = [found for call in calls(path.read_text(encoding="utf-8")) if (found := problem(*call))]
    assert problems == []


def test_the_readme_names_commands_at_all() -> None:
    """The check above would pass for ever if nothing were recognised."""
    found = set(calls((ROOT / "README.md").read_text(encoding="utf-8")))
    assert {("make", "run"), ("make", "test"), ("migrate", "compare --probe")} <= found


def test_links_between_documents_lead_somewhere() -> None:
    """A relative link in a document names a file or folder that exists."""
    broken = []
    for path in documents():
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", path.read_text(encoding="utf-8")):
            if not (path.parent / target).exists():
                broken.append(f"{path.relative_to(ROOT)} -> {target}")
    assert broken == []


def anchors(text: str) -> set[str]:
    """What a link may name behind `#`: the headings, as GitHub turns them into ids."""
    headings = re.findall(r"^#{1,6} +(.+)$", re.sub(r"```.*?```", "", text, flags=re.DOTALL), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_links_to_headings_lead_to_one() -> None:
    """A runbook whose table of contents leads nowhere is no help at 3 am."""
    broken = []
    for path in documents():
        for target, heading in re.findall(r"\]\(([^)#:]*)#([^)]+)\)", path.read_text(encoding="utf-8")):
            page = path.parent / target if target else path
            if page.suffix == ".md" and heading not in anchors(page.read_text(encoding="utf-8")):
                broken.append(f"{path.relative_to(ROOT)} -> {target}#{heading}")
    assert broken == []


PATH = re.compile(r"`((?:legacy_ws|sse_service|migrate|loadtests|tests|docs)/[A-Za-z0-9_./-]+)`")


@pytest.mark.parametrize("path", documents(), ids=lambda path: str(path.relative_to(ROOT)))
def test_files_that_a_document_names_exist(path: Path) -> None:
    """A page that says where something is and what tests it leads somewhere."""
    named = set(PATH.findall(path.read_text(encoding="utf-8")))
    there = {name for name in named if importlib.util.find_spec(owner(name))}
    assert sorted(name for name in there if not (ROOT / name).exists()) == []


def owner(name: str) -> str:
    """The package that a file leaves with, after phase 3."""
    first, _, rest = name.partition("/")
    if first == "tests":
        first = rest.partition("/")[0].removesuffix(".py")
    return {"e2e": "migrate", "docs": "sse_service", "test_docs": "sse_service"}.get(first, first)
