"""Python clients to ours. until phase 3 (MG4)

Where an import brings nothing else, it is replaced and calls that use its name stay as they are; otherwise our module
is imported below it and only the calls of our stack's sockets change.
"""

from __future__ import annotations

from dataclasses import dataclass

from ast_grep_py import SgNode

from migrate.codemod.edits import Edit, comment_above, line_end_of
from migrate.codemod.model import Options, Rewrite
from migrate.codemod.names import PY_EXCEPTIONS, PY_FUNCTIONS, PY_KEYWORDS, PY_MODULE
from migrate.scan.identity import StackIdentity
from migrate.scan.model import Kind, Target
from migrate.scan.nodes import span, up
from migrate.scan.py_file import PyBinding, PyFile
from migrate.scan.py_rules import PyUse, py_uses
from migrate.scan.py_values import PyValues, arguments
from migrate.scan.rules import RULES

__all__ = ["rewrite_python"]

_NAMES = PY_FUNCTIONS | PY_EXCEPTIONS
_MARK = f"can go, but for ConnectionClosedError: {PY_MODULE} resumes by itself; that says that it could not"


@dataclass(frozen=True, slots=True)
class _Plan:
    use: PyUse
    function: SgNode
    ours: str
    edits: tuple[Edit, ...]


def rewrite_python(text: str, file: PyFile, values: PyValues, identity: StackIdentity, options: Options) -> Rewrite:
    """All edits of one module."""
    uses = py_uses(values, identity)
    clients = [use for use in uses if RULES[use.hit.rule].kind is Kind.CLIENT]
    done, plans, left = Rewrite(), [], []
    for use in clients:
        if use.hit.target is Target.OTHER:
            left.append(use)
            continue
        plan = _plan(file, use, options)
        if isinstance(plan, str):
            left.append(use)
            edit = comment_above(text, use.node, f"not rewritten: {plan}", "#")
            done.did("hint", use.hit.start, plan, [edit])
        else:
            plans.append(plan)
    if not plans:
        return done
    statements = _statements(file, plans)
    for plan in plans:
        done.did("rewritten", plan.use.hit.start, f"uses {plan.ours}", plan.edits)
    for statement, bindings in statements.values():
        done.edits += _statement_edits(text, file, values, statement, bindings, plans, everything=not left)
    if not left:
        for use in uses:
            if RULES[use.hit.rule].kind is Kind.RECONNECT:
                edit = comment_above(text, use.node, _MARK, "#")
                if edit is not None:
                    done.did("marked", use.hit.start, "reconnect logic", [edit])
    return done


def _plan(file: PyFile, use: PyUse, options: Options) -> _Plan | str:
    """How one call is rewritten, or why it is not."""
    ours = {PY_FUNCTIONS[name] for name in use.names if name in PY_FUNCTIONS}
    function = use.node.field("function")
    if len(ours) != 1 or function is None:
        return "this client has no equivalent; see the guide"
    if doubt := options.doubt(use.hit.target):
        return doubt
    parent = use.node.parent()
    if parent is not None and parent.kind() == "for_statement" and parent.field("right") == use.node:
        return "`async for` over connections: open one, it reconnects by itself"
    first = function
    while first.kind() == "attribute" and (inner := first.field("object")) is not None:
        first = inner
    bindings = file.lookup_all(first.text(), span(first)[0]) if first.kind() == "identifier" else []
    if not bindings or any(binding.kind != "import" for binding in bindings):
        return f"the function is chosen at run time; choose {next(iter(ours))}"
    if any(binding.module.startswith(".") for binding in bindings):
        return f"the function comes from {bindings[0].module}; change it there"
    if len([argument for argument in arguments(use.node) if "splat" not in argument.kind()]) > 1:
        return "its second argument has no name"
    edits = []
    held = use.node.field("arguments")
    for child in held.children() if held else ():
        if child.kind() in {"dictionary_splat", "list_splat"}:
            return "its arguments cannot be seen"
        name = child.field("name") if child.kind() == "keyword_argument" else None
        if name is None:
            continue
        if name.text() not in PY_KEYWORDS:
            return f"the argument {name.text()} has no equivalent"
        if PY_KEYWORDS[name.text()] != name.text():
            edits.append(Edit(*span(name), PY_KEYWORDS[name.text()]))
    return _Plan(use, function, next(iter(ours)), tuple(edits))


def _statements(file: PyFile, plans: list[_Plan]) -> dict[tuple[int, int], tuple[SgNode, list[PyBinding]]]:
    """The import statements that bring what is rewritten, each with all names it binds."""
    found: dict[tuple[int, int], tuple[SgNode, list[PyBinding]]] = {}
    for plan in plans:
        first = plan.function
        while first.kind() == "attribute" and (inner := first.field("object")) is not None:
            first = inner
        for binding in file.lookup_all(first.text(), span(first)[0]):
            mine = [b for all_ in file.bindings.values() for b in all_ if b.node == binding.node]
            found[span(binding.node)] = (binding.node, mine)
    # Exceptions of the same library may be imported by a statement of their own.
    for all_ in file.bindings.values():
        for binding in all_:
            if binding.kind == "import" and f"{binding.module}.{binding.imported}" in PY_EXCEPTIONS:
                mine = [b for others in file.bindings.values() for b in others if b.node == binding.node]
                found.setdefault(span(binding.node), (binding.node, mine))
    return found


def _statement_edits(
    text: str,
    file: PyFile,
    values: PyValues,
    statement: SgNode,
    bindings: list[PyBinding],
    plans: list[_Plan],
    *,
    everything: bool,
) -> list[Edit]:
    """Edits of one import statement and of what refers to it."""
    start, end = span(statement)
    if everything and statement.kind() == "import_from_statement":
        ours = {binding.name: _NAMES.get(f"{binding.module}.{binding.imported}") for binding in bindings}
        modules = {name.rpartition(".")[0] for name in ours.values() if name}
        if all(ours.values()) and len(modules) == 1:
            items = [
                _item(str(ours[binding.name]), binding.name)
                for binding in sorted(bindings, key=lambda one: _place(statement, one))
            ]
            module = modules.pop()
            return [Edit(start, end, f"from {module} import {', '.join(items)}")]
    if everything and statement.kind() == "import_statement" and len(bindings) == 1:
        replaced = _attributes(file, values, bindings[0])
        if replaced is not None:
            modules = {name.rpartition(".")[0] for _, name in replaced}
            lines = [f"import {module}" for module in sorted(modules)]
            indent = text[text.rfind("\n", 0, start) + 1 : start]
            edits = [Edit(*span(node), name) for node, name in replaced]
            return [Edit(start, end, f"{line_end_of(text)}{indent}".join(lines)), *edits]
    mine = [plan for plan in plans if _brought_by(file, plan, statement)]
    if not mine:
        return []
    indent = text[text.rfind("\n", 0, start) + 1 : start]
    modules = {plan.ours.rpartition(".")[0] for plan in mine}
    added = "".join(
        f"{line_end_of(text)}{indent}import {module}"
        for module in sorted(modules)
        if not any(b.kind == "import" and b.module == module.split(".")[0] for b in file.bindings.get(PY_MODULE, ()))
    )
    return [Edit(end, end, added), *(Edit(*span(plan.function), plan.ours) for plan in mine)]


def _place(statement: SgNode, binding: PyBinding) -> int:
    """Where a statement names what it imports, to keep the order."""
    return next(
        (span(c)[0] for c in statement.children() if c.text().split(" ")[-1] == binding.name and c.is_named()), 0
    )


def _item(ours: str, name: str) -> str:
    leaf = ours.rpartition(".")[2]
    return leaf if leaf == name else f"{leaf} as {name}"


def _brought_by(file: PyFile, plan: _Plan, statement: SgNode) -> bool:
    first = plan.function
    while first.kind() == "attribute" and (inner := first.field("object")) is not None:
        first = inner
    return any(binding.node == statement for binding in file.lookup_all(first.text(), span(first)[0]))


def _is_imported(path: SgNode) -> bool:
    """Whether a dotted name stands in `from PATH import ...`, which binds nothing of that name."""
    parent = path.parent()
    return parent is not None and parent.kind() == "import_from_statement" and parent.field("module_name") == path


def _attributes(file: PyFile, values: PyValues, binding: PyBinding) -> list[tuple[SgNode, str]] | None:
    """Every use of an imported module with our name for it; None when one has no equivalent."""
    found: list[tuple[SgNode, str]] = []
    for node in file.root.find_all(kind="identifier"):
        if node.text() != binding.name or span(binding.node)[0] <= span(node)[0] < span(binding.node)[1]:
            continue
        parent = node.parent()
        if parent is not None and parent.kind() in {"attribute", "keyword_argument"} and parent.children()[0] != node:
            continue  # a member of something else
        if parent is not None and parent.kind() == "keyword_argument":
            continue  # the name of an argument
        if parent is not None and parent.kind() == "dotted_name" and _is_imported(parent):
            continue  # the path of another import, which binds names of its own
        bound = file.lookup_all(node.text(), span(node)[0])
        if binding not in bound:
            continue
        if len(bound) > 1:
            return None
        best: tuple[SgNode, str] | None = None
        for ancestor in up(node):
            if ancestor.kind() != "attribute":
                break
            names = values.names(ancestor)
            name = next((_NAMES[one] for one in names if one in _NAMES), None)
            if name is not None:
                best = (ancestor, name)
        if best is None:
            return None
        found.append(best)
    return found
