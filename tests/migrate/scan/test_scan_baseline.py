"""The gate: what is new, what is not, what is stale. until phase 3 (WL10 phase 1)"""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from migrate.errors import UsageError
from migrate.scan.baseline import baseline_text, compare, counts_for_gate, read_baseline
from migrate.scan.model import Finding

from .conftest import MakeTree, report_of

CLIENT = """
export class Chat {
  open(url) {
    this.ws = new WebSocket(url, ['a', 'b']);
    this.ws.onclose = () => setTimeout(() => this.open(url), 1000);
  }
}
"""


def gated(root: Path) -> list[Finding]:
    return [found for found in report_of(root).findings if counts_for_gate(found, tests=False)]


def known(root: Path) -> Path:
    path = root / "baseline.jsonl"
    path.write_text(baseline_text(gated(root)))
    return path


def new_after(root: Path, baseline: Path) -> list[str]:
    return [f"{found.path}:{found.rule}" for found in compare(gated(root), read_baseline(baseline)).new]


def test_moved_files_moved_code_and_other_formatting_are_nothing_new(tree: MakeTree) -> None:
    """Another directory, another place in the file, other quotes, line breaks, commas, comments."""
    root = tree(
        {"src/a.js": CLIENT, "src/b.py": "import websockets\n\ndef go():\n    websockets.connect('wss://x', ssl=1)\n"}
    )
    baseline = known(root)
    (root / "src" / "a.js").unlink()
    (root / "src" / "b.py").unlink()
    tree(
        {
            "lib/deep/chat.ts": "// moved\nfunction before() {}\n"
            + CLIENT.replace(
                "new WebSocket(url, ['a', 'b'])", 'new WebSocket(\n      url, // where\n      ["a", "b",],\n    )'
            ),
            "lib/b.py": "import websockets\n\n\ndef other():\n    pass\n\n\ndef go():\n"
            '    websockets.connect(\n        "wss://x",\n        ssl=1,\n    )\n',
        }
    )
    assert new_after(root, baseline) == []
    assert compare(gated(root), read_baseline(baseline)).stale == []


@pytest.mark.parametrize(
    "added",
    [
        {"src/copy.js": CLIENT},
        {"src/other.js": "export const s = new WebSocket('wss://somewhere.example.org')"},
        {"serverless.yml": "functions:\n  f:\n    events:\n      - websocket: $connect\n"},
        {"package.json": '{"dependencies": {"ws": "8"}}'},
    ],
)
def test_a_further_use_is_new_also_when_it_is_a_copy(tree: MakeTree, added: dict[str, str | bytes]) -> None:
    """The count matters, not only the kind."""
    root = tree({"src/a.js": CLIENT})
    baseline = known(root)
    tree(added)
    assert new_after(root, baseline) != []
    assert all(place.startswith(next(iter(added))) for place in new_after(root, baseline))


def test_a_use_that_is_gone_is_stale_and_comes_back_as_known_until_the_baseline_is_written_again(
    tree: MakeTree,
) -> None:
    """Stale entries are named with what they were."""
    root = tree({"a.js": CLIENT})
    baseline = known(root)
    (root / "a.js").write_text("export const nothing = 1;\n")
    stale = compare(gated(root), read_baseline(baseline)).stale
    assert {(entry.rule, entry.symbol, gone) for entry, gone in stale} == {
        ("js-websocket", "Chat.open", 1),
        ("js-reconnect", "Chat.open", 1),
    }


def test_what_the_gate_does_not_look_at(tree: MakeTree) -> None:
    """Tests, other services' sockets, guesses."""
    root = tree(
        {
            "tests/a.test.js": CLIENT,
            "b.js": "new WebSocket('wss://ws.kraken.com')",
            "c.yml": "Statement:\n  - Action: execute-api:*\n",
        }
    )
    assert len(report_of(root).findings) == 4
    assert gated(root) == []
    assert len([f for f in report_of(root).findings if counts_for_gate(f, tests=True)]) == 2


def test_the_file_is_the_same_for_the_same_code_whatever_its_order(tree: MakeTree) -> None:
    """Deterministic, one sorted line a use, no path, no secret."""
    root = tree({"a.js": CLIENT, "z.js": "new WebSocket('wss://h/?token=verysecretvalue')"})
    found = gated(root)
    shuffled = found[:]
    random.Random(1).shuffle(shuffled)
    text = baseline_text(found)
    assert baseline_text(shuffled) == text
    lines = text.splitlines()[1:]
    assert lines == sorted(lines)
    assert "a.js" not in text
    assert "verysecret" not in text


def test_a_merge_that_kept_both_lines_is_read_as_the_larger_count(tree: MakeTree) -> None:
    """`merge=union` leaves two lines of one use."""
    root = tree({"a.js": CLIENT})
    baseline = known(root)
    text = baseline.read_text()
    baseline.write_text(text + "".join(line.replace('"count": 1', '"count": 2') for line in text.splitlines(True)[1:]))
    tree({"b.js": CLIENT})
    assert new_after(root, baseline) == []


@pytest.mark.parametrize("text", ["<<<<<<< ours\n", '{"fingerprint": 1}\n', '{"ws2sse-scan-baseline": 99}\n', "[]\n"])
def test_a_damaged_baseline_is_refused(tmp_path: Path, text: str) -> None:
    """A gate that reads half a file would let everything in, or nothing."""
    path = tmp_path / "b.jsonl"
    path.write_text(text)
    with pytest.raises(UsageError):
        read_baseline(path)
    with pytest.raises(UsageError, match="no baseline"):
        read_baseline(tmp_path / "missing")
