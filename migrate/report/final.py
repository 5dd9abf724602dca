"""The final report: what was known, decided and done, as Markdown, HTML and JSON. Pure. until phase 3"""

from __future__ import annotations

import html
import re
from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["as_html", "as_markdown"]

# What Markdown makes links, images, code or cells of.
_MARKS = r"[\\`\[\]|]"


def as_markdown(value: Mapping[str, Any]) -> str:
    """The report for the archive.

    Args:
        value: {"project", "made_at", "config", "phases": [...], "verdicts": [...], "cost": {...} | None,
            "journal": [...], "exports": [...]} as `migrate report` gathers it.
    """
    parts = [
        f"# {value['project']}: from WebSocket to Server-Sent Events",
        "",
        f"Made {value['made_at']}, configuration {value['config'][:12]}.",
        "",
    ]
    for phase in value["phases"]:
        closed = phase["closed"]
        # One line, whatever the name holds: a line of its own could look like a row of evidence.
        state = _text(f"closed by {closed['by']}, {closed['at']}") if closed else "not closed"
        parts += [f"## {phase['title']} ({state})", ""]
        parts += _table(
            ("item", "status", "what is known"),
            [(one["title"], one["status"], "; ".join(one["said"])) for one in phase["items"]],
        )
    parts += ["## Comparisons", ""]
    parts += _table(
        ("feature", "verdict", "deliveries", "largest loss (95 %)", "when", "digest"),
        [
            (
                one["feature"],
                one["verdict"],
                one["expected"],
                f"{one['loss_upper']:.4%}",
                one["when"],
                one["digest"][:12],
            )
            for one in value["verdicts"]
        ],
    )
    cost = value["cost"]
    if cost:
        parts += [
            "## Cost",
            "",
            f"{cost['before']['usd']:.2f} USD a month before, {cost['after']['usd']:.2f} after "
            f"(prices of {cost['prices']['date']})."
            + (f" Not measured: {', '.join(cost['not_measured'])}." if cost.get("not_measured") else ""),
            "",
        ]
    parts += ["## Exports", ""]
    parts += _table(
        ("what", "files", "records"), [(one["name"], one["files"], one["records"]) for one in value["exports"]]
    )
    parts += ["## Journal", ""]
    parts += _table(
        ("when", "who", "action", "outcome", "arguments"),
        [
            (one["started_at"], one["actor"], one["action"], one["outcome"], one["arguments"])
            for one in value["journal"]
        ],
    )
    return "\n".join(parts) + "\n"


def as_html(value: Mapping[str, Any]) -> str:
    """The same as one page that needs no network."""
    body, in_table = [], False
    for line in as_markdown(value).splitlines():
        if line.startswith("|"):
            cells = [cell.strip() for cell in line.strip("|").split(" | ")]
            if set(line) <= {"|", "-", " "}:
                continue
            tag = "td" if in_table else "th"
            if not in_table:
                body.append("<div class=wide><table>")
                in_table = True
            body.append("<tr>" + "".join(f"<{tag}>{html.escape(_plain(cell))}</{tag}>" for cell in cells) + "</tr>")
            continue
        if in_table:
            body.append("</table></div>")
            in_table = False
        if line.startswith("# "):
            body.append(f"<h1>{html.escape(_plain(line[2:]))}</h1>")
        elif line.startswith("## "):
            body.append(f"<h2>{html.escape(_plain(line[3:]))}</h2>")
        elif line:
            body.append(f"<p>{html.escape(_plain(line))}</p>")
    if in_table:
        body.append("</table></div>")
    return _PAGE.format(title=html.escape(str(value["project"])), body="\n".join(body))


def _table(heads: Sequence[str], rows: Sequence[Sequence[object]]) -> list[str]:
    if not rows:
        return ["none", ""]
    lines = ["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
    lines += ["| " + " | ".join(_cell(cell) for cell in row) + " |" for row in rows]
    return [*lines, ""]


def _cell(value: object) -> str:
    return _text(value) or "-"


def _text(value: object) -> str:
    """One line of text that stays text: whoever shows the archive's Markdown (a forge, an editor) renders HTML in it,
    and links and images of what people wrote into notes (CommonMark, "Raw HTML", "Backslash escapes")."""
    return html.escape(re.sub(_MARKS, r"\\\g<0>", " ".join(str(value).split())), quote=False)


def _plain(text: str) -> str:
    """What `_text` was made of."""
    return re.sub(rf"\\({_MARKS})", r"\1", html.unescape(text))


_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}: migration report</title>
<style>
:root {{ color-scheme: light dark; }}
body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 72rem; margin: 2rem auto; padding: 0 1rem; }}
.wide {{ overflow-x: auto; }}
table {{ border-collapse: collapse; font-size: 0.9rem; }}
th, td {{ text-align: left; vertical-align: top; padding: 0.3rem 0.8rem; border-bottom: 1px solid #8886; }}
</style></head><body>
{body}
</body></html>
"""
