"""Reads a stack from its files: serverless.yml, SAM, CloudFormation, Terraform. until phase 3 (MG1)"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from migrate.errors import UsageError
from migrate.init.facts import StackFacts
from migrate.init.serverless import is_serverless, serverless_facts
from migrate.init.templates import is_template, template_facts
from migrate.init.terraform import terraform_facts
from migrate.scan.files import walk
from migrate.scan.terraform import Block, hcl_blocks, tf_json_blocks
from migrate.scan.tree import BrokenError, Tree, parse_json, parse_yaml

__all__ = ["read_files"]

MAX_BYTES = 5_000_000


def read_files(path: Path) -> StackFacts:
    """The stack that a file or directory describes.

    Raises: UsageError: there is none, there are several, or it cannot be read.
    """
    if not path.exists():
        raise UsageError(f"there is no {path}", "name a serverless.yml, a template, or a directory with them")
    found: list[StackFacts] = []
    modules: dict[Path, list[Block]] = {}
    broken: list[str] = []
    for file in walk(path, _left_out):
        name = file.name.lower()
        if file.stat().st_size > MAX_BYTES:
            continue
        try:
            if name.endswith(".tf"):
                modules.setdefault(file.parent, []).extend(hcl_blocks(_text(file))[0])
            elif name.endswith(".tf.json"):
                modules.setdefault(file.parent, []).extend(tf_json_blocks(parse_json(_text(file))))
            elif name.endswith((".yml", ".yaml", ".json", ".template")):
                found += _of_trees(_trees(file), str(file.relative_to(path) if path.is_dir() else file.name), file)
        except BrokenError as error:
            broken.append(f"{file}: {error}")
    for folder, blocks in sorted(modules.items()):
        facts = terraform_facts(blocks, f"Terraform in {folder}")
        if facts is not None:
            found.append(facts)
    if len(found) > 1:
        named = ", ".join(one.origin for one in found)
        raise UsageError(f"{path} describes {len(found)} WebSocket APIs: {named}", "name one file, one stack each")
    if not found:
        hint = broken[0] if broken else "name the file itself, or read the deployed stack with --api-id"
        raise UsageError(f"{path} describes no WebSocket API", hint)
    return replace(found[0], problems=(*found[0].problems, *broken))


def _left_out(_reason: str) -> None:
    """Vendored and generated files are nobody's stack."""


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        return file.read_text(encoding="utf-8", errors="replace")


def _trees(file: Path) -> list[Tree]:
    text = _text(file)
    if file.suffix == ".json" or (file.suffix == ".template" and text.lstrip().startswith("{")):
        return [parse_json(text)]
    return parse_yaml(text)


def _of_trees(trees: list[Tree], origin: str, file: Path) -> list[StackFacts]:
    found = []
    for tree in trees:
        facts = None
        if is_serverless(tree):
            facts = serverless_facts(tree, origin)
        elif is_template(tree):
            facts = template_facts(tree, origin, file.parent.name)
        if facts is not None:
            found.append(facts)
    return found
