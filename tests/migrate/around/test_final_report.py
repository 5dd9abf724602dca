"""Runbook, notices and the final report: complete, whole, harmless (MG14). until phase 3"""

from __future__ import annotations

import html
import json
import re
from html.parser import HTMLParser
from typing import Any

import pytest
from around_support import World, settings

from migrate.control.journal import digest
from migrate.report.final import as_html, as_markdown
from migrate.report.runbook import NOTICES, notice, runbook

EVIL = '<script>alert(1)</script> | a\n| b | <img src=x onerror="x"> & "q"'
VALUE: dict[str, Any] = {
    "project": "chat", "made_at": "2026-11-22T09:00:00Z", "config": "c" * 64,
    "phases": [
        {"phase": 2, "title": "Phase 2", "closed": {"by": EVIL, "at": "2026-11-21T00:00:00Z"},
         "items": [{"title": "moved", "status": "waived", "said": ["one", EVIL]}]},
        {"phase": 3, "title": "Phase 3", "closed": None, "items": []},
    ],
    "verdicts": [{"feature": "chat", "verdict": "pass", "expected": 5000, "loss_upper": 0.0004, "when": "w",
                  "digest": "d" * 64, "report": ""}],
    "cost": {"before": {"usd": 10.5}, "after": {"usd": 2.25}, "prices": {"date": "2026-11-22"}},
    "exports": [{"name": "resources-1", "files": 2, "records": 7}],
    "journal": [{"started_at": "t", "actor": EVIL, "action": "cutover", "outcome": "done", "arguments": EVIL}],
}  # fmt: skip


class Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[str] = []
        self.open: list[str] = []
        self.cells: list[int] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [name for name, _ in attrs]
        if tag == "tr":
            self.cells.append(0)
        if tag in {"td", "th"}:
            self.cells[-1] += 1
        if tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_what_people_wrote_is_text_in_the_page() -> None:
    page = as_html(VALUE)
    found = Tags()
    found.feed(page)
    assert found.open == []
    assert not {"script", "img", "link", "iframe"} & set(found.tags)
    assert not [name for name in found.attributes if name.startswith(("on", "src", "href"))]
    assert "&lt;script&gt;" in page
    # Nobody's text made a cell or a row of its own: 1+1 items, 1+1 verdicts, 1+1 exports, 1+1 journal.
    assert found.cells == [3, 3, 6, 6, 3, 3, 5, 5]


def test_what_people_wrote_is_text_in_the_markdown_as_well() -> None:
    """A forge renders raw HTML, links and images of the archive."""
    note = "![x](https://evil.example/p.png) [a](javascript:alert(1)) `code` back\\slash &lt;b&gt; a < b"
    value = {**VALUE, "journal": [{**VALUE["journal"][0], "arguments": note}]}
    text = as_markdown(value)
    assert re.findall(r"<[a-z/!]", text) == []
    assert re.findall(r"(?<!\\)[\[\]`]", text) == []
    assert "closed by &lt;script&gt;" in text
    # In the page it is what was written, once.
    page = as_html(value)
    cells = re.findall(r"<td>(.*?)</td>", page)
    assert html.unescape(cells[-1]) == note
    assert "&amp;lt;b&amp;gt; a &lt; b" in page


def test_the_archive_says_what_was_known() -> None:
    text = as_markdown(VALUE)
    assert "10.50 USD a month before, 2.25 after" in text
    assert "| chat | pass | 5000 | 0.0400% | w | dddddddddddd |" in text
    assert "## Phase 3 (not closed)" in text
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert len({len(re.findall(r"(?<!\\)\|", line)) for line in rows if "script" in line}) == 2
    bare = {**VALUE, "cost": None, "verdicts": [], "exports": [], "journal": [], "phases": []}
    assert as_markdown(bare).count("none") == 3
    assert "<table>" not in as_html(bare)


@pytest.mark.parametrize("language", sorted(NOTICES))
def test_notices_name_the_features_and_the_address(language: str) -> None:
    text = notice(settings(), language)
    assert "chat" in text and "https://sse.example.com" in text
    assert "{" not in text


def test_the_runbook_has_this_stacks_own_names() -> None:
    text = runbook(settings(), "migrate.toml", "abcdef1234567890")
    for name in ("migrate rollback chat --config migrate.toml", "`abc`", "`chat-handler`", "`connections`", "`state`"):
        assert name in text
    assert "abcdef123456" in text


def test_the_runbook_is_evidence_until_the_configuration_changes(world: World) -> None:
    files = world.migrate("runbook").stdout.split()
    assert len(files) == 1 + len(NOTICES)
    items = {item["id"]: item for item in world.json("phase2")["items"]}
    assert items["runbook"]["status"] == "done"
    world.configure(url="https://another.example.com")
    items = {item["id"]: item for item in world.json("phase2")["items"]}
    assert items["runbook"]["status"] == "open"


def test_the_report_is_archived_whole_and_belongs_to_one_project(world: World) -> None:
    export = world.folder / "records" / "exports" / "resources-1"
    export.mkdir(parents=True)
    (export / "MANIFEST.json").write_text(
        json.dumps({"schema": 1, "files": {"0.gz": {"sha256": "s", "bytes": 9, "records": 7}}}), encoding="utf-8"
    )
    written = world.migrate("report").stdout.split()
    assert [path.rsplit(".", 1)[1] for path in written] == ["html", "md", "json"]
    folder = (world.folder / written[0]).parent
    value = json.loads((folder / "migration-chat.json").read_text(encoding="utf-8"))
    assert value["exports"] == [{"name": "resources-1", "files": 1, "records": 7, "sha256": {"0.gz": "s"}}]
    assert {phase["phase"] for phase in value["phases"]} == {1, 2, 3}
    [itself] = [item for item in value["phases"][2]["items"] if item["id"] == "archived"]
    assert itself["status"] == "done", "who reads it has it"
    assert itself["said"] == [f"{folder / 'migration-chat.html'} is there"]
    kept = next(world.table.query("report#chat"))
    assert kept["digest"] == digest(value), "what the journal says is what lies there"
    assert not [path.name for path in folder.iterdir() if path.name.startswith(".")]
    assert ("report", "done") in world.actions()

    def archived() -> set[str]:
        return {
            str((item["evidence"] or {}).get("facts", {}).get("what", "")) for item in world.json("phase3")["items"]
        }

    assert any(what.endswith("migration-chat.html") for what in archived())
    world.configure("other")
    assert not any(what.endswith(".html") for what in archived())
