"""docs/guides/client-migration.md: each "before" becomes its "after" by `migrate codemod`; both are programs.

until phase 3
"""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from typer.testing import CliRunner

from migrate.cli import app

GUIDE = Path(__file__).parents[3] / "docs" / "guides" / "client-migration.md"
PAIR = re.compile(
    r"^Before:\n\n```(\w+)\n(.*?)```\n\nAfter(?: \(`(.*?)`\))?:\n\n```\1\n(.*?)```", re.DOTALL | re.MULTILINE
)
PAIRS = PAIR.findall(GUIDE.read_text(encoding="utf-8"))
SUFFIX = {"js": ".js", "jsx": ".jsx", "mjs": ".mjs", "python": ".py"}


def test_every_kind_of_client_is_there() -> None:
    assert [(language, options) for language, _, options, _ in PAIRS] == [
        ("js", ""),
        ("js", "--to eventsource"),
        ("jsx", ""),
        ("mjs", ""),
        ("python", ""),
    ]


@pytest.mark.parametrize(("language", "before", "options", "after"), PAIRS)
def test_before_becomes_after(language: str, before: str, options: str, after: str, tmp_path: Path) -> None:
    file = tmp_path / f"client{SUFFIX[language]}"
    file.write_text(before, encoding="utf-8")
    arguments = ["codemod", str(file), "--host", "chat.example.com", "--module", "esm", "--write", *options.split()]
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 0, done.output
    lines = file.read_text(encoding="utf-8").splitlines(keepends=True)
    assert "".join(line for line in lines if "ws2sse: " not in line) == after


@pytest.mark.parametrize(("language", "before", "options", "after"), PAIRS)
def test_both_are_programs(language: str, before: str, options: str, after: str, tmp_path: Path) -> None:
    for text in (before, after):
        if language == "python":
            compile(text, "client.py", "exec")
            continue
        # There is no JSX in the hook, so that Node.js can read it.
        file = tmp_path / "client.mjs"
        file.write_text(text, encoding="utf-8")
        node = shutil.which("node")
        assert node, "no Node.js on PATH"
        checked = subprocess.run([node, "--check", str(file)], capture_output=True, text=True, timeout=30)
        assert checked.returncode == 0, checked.stderr


@pytest.mark.parametrize(
    ("manifest", "is_said"), [(None, True), ("{}", True), ('{"x": {"@ws2sse/client": "1"}}', False)]
)
def test_the_package_is_asked_for_where_it_is_missing(manifest: str | None, is_said: bool, tmp_path: Path) -> None:
    if manifest is not None:
        (tmp_path / "package.json").write_text(manifest)
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "chat.mjs").write_text(PAIRS[0][1])
    done = CliRunner().invoke(app, ["codemod", str(tmp_path), "--host", "chat.example.com"])
    assert ("add @ws2sse/client to package.json" in done.output) is is_said
