"""`migrate phase1 | phase2 | phase3`: checklists that prove themselves. until phase 3 (MG13, WL11)"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from migrate.cli.options import JsonOption, StateDirOption
from migrate.cli.output import err, out, print_json, reports_errors
from migrate.cli.shared import SIGNATURE, said, state_table
from migrate.config import Config, ConfigOption, resolve_config
from migrate.control.journal import Journal
from migrate.control.table import ControlTable
from migrate.errors import ShutError, UsageError
from migrate.phases.commands import next_command, options_of
from migrate.phases.model import LANGUAGES, Item, Row, Signature
from migrate.phases.places import default_source
from migrate.phases.texts import said_of, text
from migrate.times import utc_text
from migrate.up.state import DEFAULT_STATE_DIR

__all__ = ["phase_app", "phase_rows"]

LangOption = Annotated[str, typer.Option("--lang", help="en, ja or ko.", envvar="MIGRATE_LANG")]
SourceOption = Annotated[
    Path | None,
    typer.Option(
        "--source",
        help="Your application's code. [default: the directory of migrate.toml, or where `migrate up` was run]",
        show_default=False,
    ),
]
ByOption = Annotated[str, typer.Option("--by", help="Who says it.")]
NoteOption = Annotated[str, typer.Option("--note", help="What they saw, or why.")]
MARKS = {"done": "[x]", "open": "[ ]", "failing": "[!]", "waived": "[-]"}


def phase_app(phase: int) -> typer.Typer:
    """The commands of one phase."""
    from migrate.phases.items import PHASES

    app = typer.Typer(help=f"{PHASES[phase]['en']}: the checklist, with evidence gathered now.", no_args_is_help=False)

    @app.callback(invoke_without_command=True)
    @reports_errors
    def show(
        context: typer.Context,
        config: ConfigOption = None,
        source: SourceOption = None,
        lang: LangOption = "en",
        json_: JsonOption = False,
        state_dir: StateDirOption = DEFAULT_STATE_DIR,
    ) -> None:
        if context.invoked_subcommand is not None:
            return
        _show(phase, resolve_config(config, state_dir), source, _language(lang), as_json=json_)

    @app.command()
    @reports_errors
    def sign(
        item: str, by: ByOption, note: NoteOption, config: ConfigOption = None,
        state_dir: StateDirOption = DEFAULT_STATE_DIR,
    ) -> None:  # fmt: skip
        """Say that an item is done which only a person can know.

        Example: migrate phase2 sign support-told --by "Ann Lee" --note "mail of 1 December"
        """
        _say(phase, item, "signed", by, note, resolve_config(config, state_dir))

    @app.command()
    @reports_errors
    def waive(
        item: str, by: ByOption, note: NoteOption, config: ConfigOption = None,
        state_dir: StateDirOption = DEFAULT_STATE_DIR,
    ) -> None:  # fmt: skip
        """Say that an item is not needed, and why.

        Example: migrate phase2 waive dashboard --by "Ann Lee" --note "we use our own monitoring"
        """
        _say(phase, item, "waived", by, note, resolve_config(config, state_dir))

    @app.command()
    @reports_errors
    def withdraw(
        item: str, by: ByOption, config: ConfigOption = None, state_dir: StateDirOption = DEFAULT_STATE_DIR
    ) -> None:
        """Take a signature or a waiver back.

        Example: migrate phase2 withdraw support-told --by "Ann Lee"
        """
        _withdraw(phase, item, by, resolve_config(config, state_dir))

    @app.command()
    @reports_errors
    def close(
        by: ByOption, config: ConfigOption = None, source: SourceOption = None, lang: LangOption = "en",
        state_dir: StateDirOption = DEFAULT_STATE_DIR,
    ) -> None:  # fmt: skip
        """Close the phase; refused (exit code 3) while an item is open or failing, with the reasons.

        Example: migrate phase2 close --by "Ann Lee"
        """
        _close(phase, by, resolve_config(config, state_dir), source, _language(lang))

    @app.command()
    @reports_errors
    def reopen(by: ByOption, config: ConfigOption = None, state_dir: StateDirOption = DEFAULT_STATE_DIR) -> None:
        """Open a closed phase again.

        Example: migrate phase2 reopen --by "Ann Lee"
        """
        _reopen(phase, by, resolve_config(config, state_dir))

    return app


def _rows(phase: int, config: Config, source: Path | None) -> tuple[list[Row], ControlTable, Path]:
    from migrate.phases.collect import Collectors
    from migrate.phases.standing import standing

    table = state_table(config)
    root = source.resolve() if source is not None else default_source(config.path)
    if not root.is_dir():
        raise UsageError(f"there is no directory {root}", "name your application's code with --source")
    with err.status("gathering evidence"):
        return standing(phase, Collectors(config, table, root, time.time())), table, root


def phase_rows(phase: int, config: Config, table: ControlTable, source: Path) -> dict[str, Any]:
    """A phase for the report: as it was when it was closed, else as it stands."""
    from migrate.phases.items import PHASES
    from migrate.phases.signatures import Signatures

    closed = Signatures(table, config.project.name).closed(phase)
    if closed:
        items = closed["rows"]
    else:
        rows, _, root = _rows(phase, config, source)
        items = [_as_json(row, config, root, "en") for row in rows]
    said = None if closed is None else {"by": closed["by"], "at": utc_text(closed["at"])}
    return {"phase": phase, "title": PHASES[phase]["en"], "closed": said, "items": items}


def _show(phase: int, config: Config, source: Path | None, language: str, *, as_json: bool) -> None:
    from migrate.phases.items import PHASES
    from migrate.phases.judge import blocking, counts
    from migrate.phases.signatures import Signatures

    rows, table, root = _rows(phase, config, source)
    closed = Signatures(table, config.project.name).closed(phase)
    if as_json:
        print_json(
            {
                "phase": phase,
                "title": PHASES[phase][language],
                "config": str(config.path),
                "closed": None if closed is None else {"by": closed["by"], "at": utc_text(closed["at"])},
                "can_close": not blocking(rows),
                "counts": counts(rows),
                "items": [_as_json(row, config, root, language) for row in rows],
            }
        )
        return
    out.print(PHASES[phase][language], style="bold")
    if closed is not None:
        out.print(text("closed", language, {"by": closed["by"], "at": utc_text(closed["at"])}))
    groups = list(dict.fromkeys(row.item.group for row in rows))
    group = None
    for row in sorted(rows, key=lambda row: groups.index(row.item.group)):
        if row.item.group is not group:
            group = row.item.group
            out.print(f"\n{text(group.value, language)}")
        out.print(f"  {MARKS[row.status.value]} {row.item.title[language]}  ({row.item.id})")
        for line in said_of(row, language):
            out.print(f"      {line}")
        if step := next_command(row, config.path, root):
            out.print(f"      {text('next', language)}: {step}", markup=False)
    out.print(f"\n{text('counts', language, counts(rows))}")
    if closed is None and not blocking(rows):
        values = {"phase": phase, "options": options_of(config.path, root)}
        out.print(text("can-close", language, values))


def _as_json(row: Row, config: Config, source: Path, language: str) -> dict[str, Any]:
    evidence, signature = row.evidence, row.signature
    return {
        "id": row.item.id,
        "row": row.item.row or None,
        "group": row.item.group.value,
        "title": row.item.title[language],
        "status": row.status.value,
        "stale": row.is_stale,
        "said": said_of(row, language),
        "evidence": None
        if evidence is None
        else {
            "state": evidence.state.value,
            "what": evidence.message,
            "facts": dict(evidence.values),
            "taken_at": utc_text(evidence.taken_at),
            "digest": evidence.digest,
        },
        "signature": None
        if signature is None
        else {"kind": signature.kind, "by": signature.by, "note": signature.note, "at": utc_text(signature.at)},
        "next": next_command(row, config.path, source) or None,
    }


def _say(phase: int, name: str, kind: str, by: str, note: str, config: Config) -> None:
    from migrate.phases.collect import config_digest
    from migrate.phases.signatures import Signatures

    item = _item(phase, name)
    by, note = said("--by", by), said("--note", note)
    if kind == "signed" and item.collector:
        raise UsageError(
            f"{name} is judged by evidence, and no signature replaces that",
            f"do what it asks for, or say why not: migrate phase{phase} waive {name} {SIGNATURE} "
            + options_of(config.path),
        )
    table = state_table(config)
    with Journal(table).record(
        f"phase{phase} {'waive' if kind == 'waived' else 'sign'}", {"item": name, "by": by, "note": note}
    ):
        Signatures(table, config.project.name).put(
            phase, name, Signature(kind, by, note, time.time(), config_digest(config))
        )
    err.print(f"{name}: {kind} by {by}")


def _withdraw(phase: int, name: str, by: str, config: Config) -> None:
    from migrate.phases.signatures import Signatures

    _item(phase, name)
    by = said("--by", by)
    table = state_table(config)
    signatures = Signatures(table, config.project.name)
    if name not in signatures.of(phase):
        err.print(f"{name}: nothing to withdraw: it is neither signed nor waived; nothing is changed")
        return
    with Journal(table).record(f"phase{phase} withdraw", {"item": name, "by": by}):
        signatures.withdraw(phase, name)
    err.print(f"{name}: withdrawn by {by}")


def _close(phase: int, by: str, config: Config, source: Path | None, language: str) -> None:
    from migrate.phases.collect import config_digest
    from migrate.phases.items import PHASES
    from migrate.phases.judge import blocking
    from migrate.phases.signatures import Signatures

    by = said("--by", by)
    table = state_table(config)
    signatures = Signatures(table, config.project.name)
    if (closed := signatures.closed(phase)) is not None:
        err.print(
            f"phase {phase} is closed already, by {closed['by']}, {utc_text(closed['at'])}; nothing is changed",
            markup=False,
        )
        err.print(
            f'hint: migrate phase{phase} reopen --by "$USER" {options_of(config.path)} opens it again',
        )  # fmt: skip
        return
    rows, table, root = _rows(phase, config, source)
    options = options_of(config.path, root)
    earlier = signatures.closed(phase - 1) if phase > 1 else {}
    with Journal(table).record(f"phase{phase} close", {"by": by}):
        if earlier is None:
            hint = f"migrate phase{phase - 1} {options} shows what it waits for"
            raise ShutError(f"phase {phase - 1} is not closed", hint)
        stopping = blocking(rows)
        if stopping:
            names = ", ".join(f"{row.item.id} ({text(row.status.value, language)})" for row in stopping)
            raise ShutError(
                text("blocked", language, {"phase": phase, "items": names}),
                f"migrate phase{phase} {options} shows the next steps",
            )
        kept = [_as_json(row, config, root, "en") for row in rows]
        signatures.close(phase, by, time.time(), config_digest(config), kept)
    err.print(f"phase {phase} is closed")
    if phase == max(PHASES):
        err.print(
            f"hint: migrate report {options} writes the report again, which then has the closing of the phase",
        )  # fmt: skip


def _reopen(phase: int, by: str, config: Config) -> None:
    from migrate.phases.signatures import Signatures

    by = said("--by", by)
    table = state_table(config)
    signatures = Signatures(table, config.project.name)
    if signatures.closed(phase) is None:
        err.print(f"phase {phase}: nothing to reopen: it is not closed; nothing is changed")
        return
    with Journal(table).record(f"phase{phase} reopen", {"by": by}):
        signatures.reopen(phase)
    err.print(f"phase {phase} is open again")


def _item(phase: int, name: str) -> Item:
    from migrate.phases.items import item_named, items_of

    item = item_named(phase, name)
    if item is None:
        raise UsageError(f"phase {phase} has no item {name!r}", f"its items: {_names(items_of(phase))}")
    return item


def _names(items: Sequence[Item]) -> str:
    return ", ".join(item.id for item in items)


def _language(name: str) -> str:
    if name not in LANGUAGES:
        raise UsageError(f"there is no language {name!r}", f"known are {', '.join(LANGUAGES)}")
    return name
