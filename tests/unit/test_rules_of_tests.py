"""Tests keep to what the product says of itself: what they would have to force is a parameter, or a public fact."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
OURS = {"cdr", "shared", "local", "infra", "function_app", "dev"}

PUBLIC_ALL_THE_SAME = {"_asdict", "_replace", "_exit"}
"""Documented names of the standard library that begin like private ones."""

OF_A_LIBRARY = {("systems/tds_types.py", "rpc._read_value")}
"""A stand-in's library reads some types of parameters in no other place."""


@cache
def _found() -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    """By file: private names, and what is forced. Trees are let go of, since all of them are millions of objects."""
    private, forced = [], []
    for path in TESTS.rglob("*.py"):
        file = path.relative_to(TESTS).as_posix()
        nodes = _nodes(path.read_text(encoding="utf-8"))
        private += [(file, name) for name in _private_names(nodes)]
        forced += [(file, what) for what in _forced(nodes)]
    return private, forced


def _nodes(text: str) -> list[ast.AST]:
    wanted = (ast.Attribute, ast.Call, ast.Import, ast.ImportFrom)
    return [node for node in ast.walk(ast.parse(text)) if isinstance(node, wanted)]


def _private_names(nodes: list[ast.AST]) -> Iterator[str]:
    """Attributes of others by a private name, and such names imported."""
    for node in nodes:
        if isinstance(node, ast.Attribute) and node.attr.startswith("_") and not node.attr.startswith("__"):
            if ast.unparse(node.value) not in ("self", "cls", "super()") and node.attr not in PUBLIC_ALL_THE_SAME:
                yield ast.unparse(node)
        elif isinstance(node, ast.ImportFrom):
            yield from (name.name for name in node.names if name.name.startswith("_") and name.name[1] != "_")


def _imported_of_ours(nodes: list[ast.AST]) -> set[str]:
    """The names under which modules of ours, and what is in them, are known."""
    found = set()
    for node in nodes:
        if isinstance(node, ast.ImportFrom) and str(node.module).partition(".")[0] in OURS:
            found |= {name.asname or name.name for name in node.names}
        elif isinstance(node, ast.Import):
            names = {(name.asname or name.name.partition(".")[0], name.name.partition(".")[0]) for name in node.names}
            found |= {known for known, top in names if top in OURS}
    return found


def _root(node: ast.expr) -> str:
    while isinstance(node, ast.Attribute | ast.Subscript):
        node = node.value
    return node.id if isinstance(node, ast.Name) else ""


def _forced(nodes: list[ast.AST]) -> Iterator[str]:
    """What is set at modules or classes of ours, and what is made an object of another class."""
    ours = _imported_of_ours(nodes)
    for node in nodes:
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store | ast.Del):
            if node.attr == "__class__" or node.attr.isupper() or _root(node) in ours:
                yield ast.unparse(node)
        elif isinstance(node, ast.Call) and _forces(node, ours):
            yield ast.unparse(node)


def _forces(call: ast.Call, ours: set[str]) -> bool:
    does = call.func.attr if isinstance(call.func, ast.Attribute) else _root(call.func)
    if does in ("setattr", "delattr", "__setattr__") and call.args:
        target = call.args[0]
        text = target.value if isinstance(target, ast.Constant) and isinstance(target.value, str) else None
        return text.partition(".")[0] in OURS if text is not None else _root(target) in ours
    return does in ("setitem", "delitem") and bool(call.args) and _root(call.args[0]) in ours


def test_no_private_attribute_is_touched() -> None:
    private, _ = _found()
    assert set(private) == OF_A_LIBRARY


def test_nothing_is_set_at_a_module_or_a_class_and_no_object_gets_another_class() -> None:
    _, forced = _found()
    assert forced == []


@pytest.mark.parametrize(
    "line",
    [
        "from cdr.edges import sql\nmonkeypatch.setattr(sql.errors, 'WAIT_S', 0)",
        "monkeypatch.setattr('cdr.edges.sql.errors.WAIT_S', 0)",
        "import cdr.edges.sql\ncdr.edges.sql.wait = None",
        "from cdr.calls.call import Call\nCall.of = None",
        "from local import azurite\nmonkeypatch.setitem(azurite.KNOWN, 'a', 1)",
        "running.WAIT_S = 0",
        "backend.__class__ = Other",
    ],
)
def test_the_rule_sees(line: str) -> None:
    assert list(_forced(_nodes(line)))


@pytest.mark.parametrize("line", ["azurite._program", "from cdr.calls.rules import _text", "self._server._server"])
def test_the_rule_sees_private_names(line: str) -> None:
    assert list(_private_names(_nodes(line)))
