"""WebSocket APIs in Terraform, HCL and JSON. Pure. until phase 3 (MG3)

https://registry.terraform.io/providers/hashicorp/aws/latest/docs/resources/apigatewayv2_api
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from ast_grep_py import SgNode, SgRoot

from migrate.routes import LIFE_ROUTES
from migrate.scan.cloudformation import permission
from migrate.scan.model import Confidence, Hit
from migrate.scan.nodes import span
from migrate.scan.tree import Tree

__all__ = ["Block", "api_protocols", "hcl_blocks", "terraform_hits", "terraform_json_hits", "tf_json_blocks"]

_PREFIX = "aws_apigatewayv2_"
_PARTS = frozenset(
    {
        "api",
        "stage",
        "deployment",
        "integration",
        "integration_response",
        "route",
        "route_response",
        "authorizer",
        "model",
    }
)
_OWN_PARTS = frozenset({"integration_response", "route_response"})
_API_REFERENCE = re.compile(r"aws_apigatewayv2_api\.([\w-]+)")
_VARIABLE = re.compile(r"^(?:\$\{)?var\.([\w-]+)\}?$")
_ACTION = re.compile(r"execute-api:[\w*?]+", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Block:
    """One block: `resource "type" "name" { attributes }`. Values are texts as written, strings without quotes."""

    kind: str
    labels: tuple[str, ...]
    start: int
    end: int
    attributes: dict[str, str]
    inner: tuple[Block, ...] = ()

    def blocks(self, kind: str) -> list[Block]:
        """Nested blocks of a kind."""
        return [block for block in self.inner if block.kind == kind]

    @property
    def type(self) -> str:
        """First label: a resource's type, a variable's name."""
        return self.labels[0] if self.labels else ""

    @property
    def name(self) -> str:
        """Last label."""
        return self.labels[-1] if self.labels else ""


def hcl_blocks(text: str) -> tuple[list[Block], SgNode, SgRoot]:
    """The top-level blocks of a .tf file, the tree, and what keeps it alive."""
    sg = SgRoot(text, "hcl")
    root = sg.root()
    blocks = []
    for body in root.children():
        for node in body.children() if body.kind() == "body" else ():
            if node.kind() == "block":
                blocks.append(_block(node))
    return blocks, root, sg


def _block(node: SgNode) -> Block:
    children = node.children()
    labels, attributes, inner = [], {}, []
    for child in children[1:]:
        if child.kind() == "string_lit":
            labels.append(child.text().strip('"'))
        elif child.kind() == "identifier":
            labels.append(child.text())
        elif child.kind() == "body":
            for item in child.children():
                if item.kind() == "attribute":
                    parts = item.children()
                    attributes[parts[0].text()] = parts[-1].text().strip().strip('"')
                elif item.kind() == "block":
                    inner.append(_block(item))
    start, _ = span(node)
    first = next((child for child in children if child.kind() == "block_start"), children[-1])
    return Block(children[0].text(), tuple(labels), start, span(first)[0], attributes, tuple(inner))


def tf_json_blocks(tree: Tree) -> list[Block]:
    """The same of a .tf.json file."""
    blocks = []
    for kind in ("resource", "data"):
        for type_, named in (tree.get(kind) or Tree(0, 0)).pairs or ():
            for name, body in named.pairs or ():
                bodies = body.items if body.items is not None else [body]
                for one in bodies:
                    attributes = {key.text or "": value.text or "" for key, value in one.pairs or ()}
                    labels = (type_.text or "", name.text or "")
                    blocks.append(Block(kind, labels, name.start, name.end, attributes, _nested(one)))
    for kind in ("variable", "module"):
        for name, body in (tree.get(kind) or Tree(0, 0)).pairs or ():
            attributes = {key.text or "": value.text or "" for key, value in body.pairs or ()}
            blocks.append(Block(kind, (name.text or "",), name.start, name.end, attributes))
    return blocks


def _nested(body: Tree) -> tuple[Block, ...]:
    """Nested blocks of a resource in JSON: an object, or a list of them."""
    return tuple(
        Block(key.text or "", (), key.start, key.end, {k.text or "": v.text or "" for k, v in one.pairs})
        for key, value in body.pairs or ()
        for one in (value.items if value.items is not None else [value])
        if one.pairs is not None
    )


def api_protocols(blocks: Iterable[Block]) -> dict[str, str]:
    """Protocol of every API by its name, variables replaced by their defaults; `?` when not known."""
    listed = list(blocks)
    defaults = {block.type: block.attributes.get("default", "?") for block in listed if block.kind == "variable"}
    found = {}
    for block in listed:
        if block.kind in {"resource", "data"} and block.type == f"{_PREFIX}api":
            protocol = block.attributes.get("protocol_type", "?")
            variable = _VARIABLE.match(protocol)
            if variable:
                protocol = defaults.get(variable.group(1), "?")
            if "route_selection_expression" in block.attributes:
                protocol = "WEBSOCKET"
            found[block.name] = protocol.upper()
    return found


def terraform_hits(text: str, siblings: Iterable[Block]) -> list[Hit]:
    """Every use in a .tf file; siblings are the blocks of its module, in which an API may be defined."""
    blocks, root, _keep = hcl_blocks(text)
    comments = [span(node) for node in root.find_all(kind="comment")]
    return [*_block_hits(blocks, api_protocols([*siblings, *blocks])), *_actions(text, blocks, comments)]


def terraform_json_hits(tree: Tree, siblings: Iterable[Block]) -> list[Hit]:
    """Every use in a .tf.json file."""
    blocks = tf_json_blocks(tree)
    return _block_hits(blocks, api_protocols([*siblings, *blocks]))


def _block_hits(blocks: Iterable[Block], protocols: dict[str, str]) -> list[Hit]:
    found = []
    for block in blocks:
        if block.kind == "module" and block.attributes.get("protocol_type") == "WEBSOCKET":
            found.append(Hit("tf-api", block.start, block.end, "module WEBSOCKET", block.name))
        part = block.type.removeprefix(_PREFIX)
        if block.kind != "resource" or part == block.type or part not in _PARTS:
            continue
        sure = _sure(part, block, protocols)
        if sure is not None:
            key = block.attributes.get("route_key", "")
            rule = "tf-route" if part == "route" else "tf-api"
            found.append(Hit(rule, block.start, block.end, f"{block.type} {key}".strip(), block.name, sure))
    return found


def _sure(part: str, block: Block, protocols: dict[str, str]) -> Confidence | None:
    if part == "api":
        protocol = protocols.get(block.name, "?")
        return {"WEBSOCKET": Confidence.HIGH, "?": Confidence.LOW}.get(protocol)
    if part in _OWN_PARTS:
        return Confidence.HIGH
    reference = _API_REFERENCE.search(block.attributes.get("api_id", ""))
    protocol = protocols.get(reference.group(1), "?") if reference else "?"
    if protocol != "?":
        return Confidence.HIGH if protocol == "WEBSOCKET" else None
    if part == "route":
        # Routes of HTTP APIs are `GET /path` or `$default`.
        key = block.attributes.get("route_key", "")
        if key in LIFE_ROUTES:
            return Confidence.HIGH
        if key and " " not in key and key != "$default" and re.fullmatch(r"[\w$-]+", key):
            return Confidence.MEDIUM
    return None


def _actions(text: str, blocks: list[Block], comments: list[tuple[int, int]]) -> Iterator[Hit]:
    """IAM actions anywhere: attributes, jsonencode, heredocs."""
    for match in _ACTION.finditer(text):
        if any(start <= match.start() < end for start, end in comments):
            continue
        symbol = next((block.name for block in reversed(blocks) if block.start <= match.start()), "")
        sure = permission(match.group())
        if sure is not None:
            yield Hit("iam-connections", match.start(), match.end(), match.group(), symbol, sure)
