"""What the product can write to the log: its events, each with its fields and levels, as they stand in the code."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from cdr.calls.call import State

PROJECT = Path(__file__).parents[2]
SETTLED = [state for state in State if state is not State.CLAIMED]


class UntoldError(Exception):
    """It cannot be told from the code."""


@dataclass(frozen=True)
class Emitted:
    """A call of log.event: the names that it can pass, its fields, and the names of its levels."""

    names: frozenset[str]
    fields: frozenset[str]
    levels: frozenset[str]


@cache
def emitted() -> tuple[Emitted, ...]:
    return tuple(_emitted_by(call, tree) for tree in _trees() for call in _nodes(tree) if _is_event(call))


@cache
def fields_by_event() -> dict[str, frozenset[str]]:
    """With ``event``, which each line has."""
    found: dict[str, set[str]] = {}
    for each in emitted():
        for name in each.names:
            found.setdefault(name, {"event"}).update(each.fields)
    return {name: frozenset(fields) for name, fields in found.items()}


def _emitted_by(call: ast.Call, tree: ast.Module) -> Emitted:
    fields, levels = set[str](), {"INFO"}
    for keyword in call.keywords:
        if keyword.arg is None:
            fields |= _fields_of(keyword.value, tree)
        elif keyword.arg == "level":
            levels = _levels_in(keyword.value, tree)
        else:
            fields.add(keyword.arg)
    return Emitted(frozenset(_names_in(call)), frozenset(fields), frozenset(levels))


def _names_in(call: ast.Call) -> set[str]:
    """An f-string's hole is the state that a call is settled with."""
    match call.args:
        case [ast.Constant(value=str(name)), *_]:
            return {name}
        case [ast.JoinedStr(values=[ast.Constant(value=str(start)), ast.FormattedValue()]), *_]:
            return {f"{start}{state}" for state in SETTLED}
        case [ast.IfExp(body=ast.Constant(value=str(one)), orelse=ast.Constant(value=str(other))), *_]:
            return {one, other}
    raise UntoldError(f"which event is this? {ast.unparse(call)}")


def _fields_of(value: ast.expr, tree: ast.Module) -> set[str]:
    """The keys of what is spread: a value's fields, or what a function or property returns as a literal."""
    match value:
        case ast.Call(func=ast.Name(id="asdict"), args=[ast.Name(id=variable)]):
            return _fields_of_class(_class_of(variable, tree))
        case ast.Call(func=ast.Name(id=name) | ast.Attribute(attr=name)) | ast.Attribute(attr=name):
            returned = [node.value for node in ast.walk(_function(name, tree)) if isinstance(node, ast.Return)]
            return {str(ast.literal_eval(key)) for each in returned for key in each.keys}  # type: ignore[union-attr]
    raise UntoldError(f"which fields are these? {ast.unparse(value)}")


def _class_of(variable: str, tree: ast.Module) -> str:
    """By the annotation of the function that the variable is made by."""
    for node in _nodes(tree):
        match node:
            case ast.Assign(targets=[ast.Name(id=name)], value=ast.Call(func=ast.Name(id=made_by))) if name == variable:
                return ast.unparse(_function(made_by, tree).returns)  # type: ignore[arg-type]
    raise UntoldError(f"of which class is {variable}?")


def _fields_of_class(name: str) -> set[str]:
    for node in (node for tree in _trees() for node in _nodes(tree)):
        if isinstance(node, ast.ClassDef) and node.name == name:
            return {ast.unparse(each.target) for each in node.body if isinstance(each, ast.AnnAssign)}
    raise UntoldError(f"where is the class {name}?")


def _levels_in(value: ast.expr | None, tree: ast.Module) -> set[str]:
    match value:
        case ast.Attribute(value=ast.Name(id="logging"), attr=level):
            return {level}
        case ast.IfExp(body=one, orelse=other):
            return _levels_in(one, tree) | _levels_in(other, tree)
        case ast.Call(func=ast.Name(id=name)):
            returned = [node.value for node in ast.walk(_function(name, tree)) if isinstance(node, ast.Return)]
            return set().union(*(_levels_in(each, tree) for each in returned))
    raise UntoldError("which level is this?")


def _function(name: str, tree: ast.Module) -> ast.FunctionDef:
    """Of the same module, if there is one."""
    for trees in ((tree,), _trees()):
        nodes = (node for each in trees for node in _nodes(each))
        found = [node for node in nodes if isinstance(node, ast.FunctionDef) and node.name == name]
        if len(found) == 1:
            return found[0]
    raise UntoldError(f"which function is {name}?")


@cache
def _trees() -> tuple[ast.Module, ...]:
    files = [
        PROJECT / "function_app.py",
        *(f for folder in ("cdr", "shared") for f in (PROJECT / folder).rglob("*.py")),
    ]
    return tuple(ast.parse(file.read_text(encoding="utf-8")) for file in files)


@cache
def _nodes(tree: ast.Module) -> tuple[ast.AST, ...]:
    """What may be asked for."""
    wanted = (ast.Call, ast.Assign, ast.FunctionDef, ast.ClassDef)
    return tuple(node for node in ast.walk(tree) if isinstance(node, wanted))


def _is_event(node: ast.AST) -> bool:
    match node:
        case ast.Call(func=ast.Attribute(value=ast.Name(id="log"), attr="event")):
            return True
    return False
