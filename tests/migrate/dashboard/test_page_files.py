"""What the dashboard's page consists of: its words in one table, its modules announced, nothing from elsewhere (MG18).
until phase 3
"""

from __future__ import annotations

import re
from importlib.resources import files

STATIC = files("migrate") / "dashboard" / "static"
TEXTS = {item.name: item.read_text(encoding="utf-8") for item in STATIC.iterdir()}
MODULES = {name: text for name, text in TEXTS.items() if name.endswith(".js")}
TABLE = set(re.findall(r'^  "?([\w.-]+)"?:(?: |$)', TEXTS["strings.js"].partition("const TABLES")[0], re.MULTILINE))


def test_every_word_is_in_the_table() -> None:
    """Keys as they are named in modules and markup; `part.${name}` stands for every key of that form."""
    named = set(re.findall(r'data-(?:label-)?text="([^"]+)"', TEXTS["index.html"]))
    patterns: set[str] = set()
    for text in MODULES.values():
        named |= set(re.findall(r'\b(?:t|named)\(\s*"([^"]+)"', text))
        named |= {key for pair in re.findall(r'\bt\([^()`]+ \? "([\w.-]+)" : "([\w.-]+)"', text) for key in pair}
        patterns |= set(re.findall(r"\b(?:t|named)\(\s*`([^`]+)`", text))
    forms = [re.compile(re.sub(r"\\\$\\\{[^}]*\\\}", r"[\\w.-]+", re.escape(one))) for one in patterns]
    assert named - TABLE == set()
    unused = {key for key in TABLE - named if not any(form.fullmatch(key) for form in forms)}
    assert unused == set()
    assert all(any(form.fullmatch(key) for key in TABLE) for form in forms)


def test_every_module_is_announced_and_none_is_missing() -> None:
    """A module that is found only when another one has been read costs a round trip before the first paint."""
    announced = set(re.findall(r'(?:href|src)="/static/([\w.-]+)"', TEXTS["index.html"]))
    assert announced == set(TEXTS) - {"index.html"}
    for text in MODULES.values():
        assert set(re.findall(r'from "\./([\w.-]+)"', text)) <= set(MODULES)


def test_nothing_comes_from_elsewhere_and_nothing_is_inline() -> None:
    """The policy is default-src 'self': it would refuse both."""
    for name, text in TEXTS.items():
        hosts = set(re.findall(r"(?:https?:)?//[\w.-]+\.\w+[^\s\"']*", text)) if not name.endswith(".js") else set()
        hosts |= set(re.findall(r"https?://[^\s\"']+", text))
        assert hosts <= {"http://www.w3.org/2000/svg"}, name
        assert "innerHTML" not in text and "insertAdjacentHTML" not in text and "eval(" not in text
    page = TEXTS["index.html"]
    assert not re.search(r"\son\w+=|\sstyle=|<style|<script(?![^>]*\ssrc=)", page)
