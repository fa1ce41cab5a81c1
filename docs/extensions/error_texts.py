"""
Extract every error message of the package from its source, with its fix.

The directive ``error-texts`` lists them; a test compares the page on troubleshooting with them.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

import airflow_incident_provider

PACKAGE = Path(airflow_incident_provider.__file__).parent
GAP = "…"
"""Stands for the variable parts of a message."""

ROOT_CLASSES = frozenset({"IncidentError", "EngineError"})
CHECKS: Mapping[str, tuple[int, int]] = {
    "warning": (0, 1),
    "failure": (0, 1),
    "required": (1, 2),
    "advised": (1, 2),
}
"""The methods that return a line of ``airflow incident check``: the positions of the message and its fix."""

AREAS: Mapping[str, str] = {
    "cli/checks": "airflow incident check",
    "cli": "Commands",
    "plugins": "Webhook, Slack requests and incidents page",
    "intake": "Payloads, confs and the routing table",
    "routing_file": "Payloads, confs and the routing table",
}
OTHER_AREA = "Steps"


@dataclass(frozen=True)
class ErrorText:
    """An error message, its fix, and the part of the package that it belongs to."""

    message: str
    fix: str
    area: str


def error_texts() -> list[ErrorText]:
    """Return all messages, each once, in the order of the areas."""
    trees = {path: ast.parse(path.read_text(encoding="utf-8")) for path in sorted(PACKAGE.rglob("*.py"))}
    classes = _error_classes(trees.values())
    found = [each for path, tree in trees.items() for each in _texts_of(tree, path, classes)]
    order = list(dict.fromkeys((*AREAS.values(), OTHER_AREA)))
    return sorted(dict.fromkeys(found), key=lambda each: (order.index(each.area), each.message.lower()))


def _error_classes(trees: Iterable[ast.Module]) -> frozenset[str]:
    """Return the names of the package's error classes."""
    bases = {
        node.name: {base.id for base in node.bases if isinstance(base, ast.Name)}
        for tree in trees
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef)
    }
    ours = set(ROOT_CLASSES)
    while more := {name for name, named in bases.items() if named & ours} - ours:
        ours |= more
    return frozenset(ours)


def _texts_of(tree: ast.Module, path: Path, classes: frozenset[str]) -> Iterator[ErrorText]:
    constants = _constants(tree)
    name = path.relative_to(PACKAGE).as_posix()
    area = next((title for part, title in AREAS.items() if name.startswith(part)), OTHER_AREA)
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call) or not (expressions := _refusal(node, name, classes)):
            continue
        message, *fixes = expressions
        fix = _text(fixes[0], constants) if fixes else ""
        for one in _either(message):
            first_line = _text(one, constants).partition("\n")[0]
            if first_line.replace(GAP, "").strip(" .:'"):
                yield ErrorText(first_line, "" if fix == GAP else fix, area)


def _refusal(call: ast.Call, module: str, classes: frozenset[str]) -> list[ast.expr]:
    """Return the message and, if there is one, the fix of a call that creates an error; else nothing."""
    if isinstance(call.func, ast.Attribute) and module.startswith("cli/checks"):
        return [call.args[place] for place in CHECKS.get(call.func.attr, ()) if place < len(call.args)]
    called = call.func.id if isinstance(call.func, ast.Name) else ""
    if called in classes or called == "RequestError" or (called == "ValueError" and module.startswith("intake")):
        given = call.args[1:] if called == "RequestError" else call.args
        return [*given[:1], *(keyword.value for keyword in call.keywords if keyword.arg == "fix")]
    return []


def _either(expression: ast.expr) -> tuple[ast.expr, ...]:
    """Return the values that an expression may have."""
    return (expression.body, expression.orelse) if isinstance(expression, ast.IfExp) else (expression,)


def _constants(tree: ast.Module) -> dict[str, str]:
    """Return the string and number constants of a module."""
    found: dict[str, str] = {}
    for node in tree.body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            text = _text(node.value, found)
            if text != GAP:
                found[node.targets[0].id] = text
    return found


def _text(node: ast.expr, constants: Mapping[str, str]) -> str:
    """Return the text of an expression, with a gap for each variable part."""
    match node:
        case ast.Constant(value=str() | int() | float() as value):
            return str(value)
        case ast.JoinedStr(values=values):
            return "".join(_text(value, constants) for value in values)
        case ast.FormattedValue(value=value):
            return _text(value, constants)
        case ast.Name(id=name):
            return constants.get(name, GAP)
        case ast.BoolOp(op=ast.Or(), values=[*_, last]):
            return _text(last, constants)
    return GAP


class ErrorTexts(SphinxDirective):
    """``{error-texts}``: a list of all messages, by area."""

    def run(self) -> list[nodes.Node]:
        """Return the lists."""
        lines: list[str] = []
        area = ""
        for each in error_texts():
            if each.area != area:
                area = each.area
                lines += ["", f"## {area}", ""]
            fix = f" {each.fix}" if each.fix else ""
            lines.append(f"- `{' '.join(each.message.replace('`', '').split())}`{_escaped(fix)}")
        return self.parse_text_to_nodes("\n".join(lines), allow_section_headings=True)


def _escaped(text: str) -> str:
    return "".join(f"\\{mark}" if mark in "*_[]<>`#$|" else mark for mark in " ".join(text.split(" ")))


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the directive."""
    app.add_directive("error-texts", ErrorTexts)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
