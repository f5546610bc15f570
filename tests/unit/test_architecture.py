"""Dependencies point one way, and nothing heavy is loaded before it is needed."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

PROJECT = Path(__file__).parents[2]
OURS = ("cdr", "shared", "function_app", "local", "tests", "dev")
HEAVY = (
    "jinja2",
    "pydantic",
    "pyodbc",
    "pymysql",
    "psycopg",
    "sqlalchemy",
    "requests",
    "urllib3",
    "tenacity",
    "phonenumbers",
    "holidays",
)
HEAVY_AZURE = ("azure.storage", "azure.data", "azure.identity", "azure.core")


@dataclass(frozen=True)
class Import:
    """``lazy`` is within a function; ``for_types`` is never carried out."""

    importer: str
    imported: str
    lazy: bool
    for_types: bool


@cache
def _modules() -> dict[str, Path]:
    files = [PROJECT / "function_app.py", *(f for top in ("cdr", "shared") for f in (PROJECT / top).rglob("*.py"))]
    return {".".join(file.relative_to(PROJECT).with_suffix("").parts).removesuffix(".__init__"): file for file in files}


@cache
def _imports() -> tuple[Import, ...]:
    return tuple(
        found
        for name, file in _modules().items()
        for found in _imports_in(ast.parse(file.read_text(encoding="utf-8")), name)
        if found.imported.partition(".")[0] not in sys.stdlib_module_names
    )


STATEMENTS = (ast.stmt, ast.excepthandler, ast.match_case)
"""What can hold an import; expressions, of which there are most, cannot."""


def _imports_in(node: ast.AST, importer: str, *, lazy: bool = False, for_types: bool = False) -> Iterator[Import]:
    for child in (each for each in ast.iter_child_nodes(node) if isinstance(each, STATEMENTS)):
        for name in _names(child):
            yield Import(importer, name, lazy, for_types)
        yield from _imports_in(
            child,
            importer,
            lazy=lazy or isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef),
            for_types=for_types or (isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING"),
        )


def _names(node: ast.AST) -> list[str]:
    """What a statement imports: modules, and of a package's own modules each by its full name."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if not isinstance(node, ast.ImportFrom):
        return []
    assert node.level == 0, "imports are absolute, so that a reader sees where they lead"
    inner = [f"{node.module}.{alias.name}" for alias in node.names]
    return [name if name in _modules() else str(node.module) for name in inner]


ROOMS = ("shared", "calls", "intake", "submission", "groups", "operations", "edges", "wiring", "web", "function_app")
JOURNEYS = {"intake", "submission", "groups"}
"""They know nothing of each other: what a call goes through on its way in is no business of its way out."""


def _room(module: str) -> str:
    """The folder that a module of ours stands in; ``cdr`` itself only knows its version."""
    top, *rest = module.split(".")
    return (rest[0] if rest else "calls") if top == "cdr" else top


def _may_import(room: str) -> set[str]:
    """Every room below its own; a journey none of the others."""
    below = set(ROOMS[: ROOMS.index(room) + 1])
    return below - (JOURNEYS - {room}) if room in JOURNEYS else below


FOREIGN = {
    "shared": {"yaml", "pydantic", "pydantic_core", "holidays", "phonenumbers"},
    "calls": {"phonenumbers"},
    "wiring": {"holidays"},
    "web": {"azure", "jinja2", "pydantic"},
    "function_app": {"azure"},
}
"""Packages of others, by room; the edges may import any."""


def _is_ours(name: str) -> bool:
    return name.partition(".")[0] in OURS


def test_dependencies_point_one_way() -> None:
    wrong = [
        (found.importer, found.imported)
        for found in _imports()
        if _is_ours(found.imported) and _room(found.imported) not in _may_import(_room(found.importer))
    ]
    assert wrong == []


def test_only_the_edges_know_drivers_and_sdks() -> None:
    wrong = [
        (found.importer, found.imported)
        for found in _imports()
        if not _is_ours(found.imported)
        and _room(found.importer) != "edges"
        and found.imported.partition(".")[0] not in FOREIGN.get(_room(found.importer), set())
    ]
    assert wrong == []


def test_outside_the_edges_azure_is_only_the_functions_library() -> None:
    azure = {(found.importer, found.imported) for found in _imports() if found.imported.startswith("azure")}
    assert {imported for importer, imported in azure if _room(importer) != "edges"} == {"azure.functions"}


def test_the_rules_import_foreign_code_only_where_it_is_used() -> None:
    assert [
        found
        for found in _imports()
        if _room(found.importer) in ("calls", *JOURNEYS) and not _is_ours(found.imported) and not found.lazy
    ] == []


def test_the_product_imports_nothing_of_the_tools_and_tests_around_it() -> None:
    assert [found for found in _imports() if found.imported.partition(".")[0] in ("local", "tests", "dev")] == []


def test_the_rooms_are_few_and_no_module_is_long() -> None:
    assert len([entry for entry in (PROJECT / "cdr").iterdir() if entry.name != "__pycache__"]) <= 12
    lines = {name: len(file.read_text(encoding="utf-8").splitlines()) for name, file in _modules().items()}
    assert {name: count for name, count in lines.items() if count > 350} == {}


def test_no_module_imports_itself_in_a_circle() -> None:
    left = {
        module: {f.imported for f in _imports() if f.importer == module and not f.for_types} & _modules().keys()
        for module in _modules()
    }
    while free := {module for module, needs in left.items() if not needs & left.keys()}:
        left = {module: needs for module, needs in left.items() if module not in free}
    assert sorted(left) == []


def _loaded_by(module: str) -> dict[str, str]:
    """What importing a module imports, each with the module that does it."""
    loaded: dict[str, str] = {}
    waiting = [module]
    while waiting:
        importer = waiting.pop()
        for found in _imports():
            if found.importer == importer and not found.lazy and not found.for_types and found.imported not in loaded:
                loaded[found.imported] = importer
                waiting.append(found.imported)
    return loaded


def test_importing_the_app_loads_nothing_heavy() -> None:
    loaded = _loaded_by("function_app")
    assert "cdr.wiring.parts" in loaded
    assert {name: by for name, by in loaded.items() if name.startswith((*HEAVY, *HEAVY_AZURE))} == {}


def test_importing_the_app_loads_no_use_case_and_no_types_of_settings() -> None:
    """A new instance has its first function running the sooner, and what that one needs is loaded with it."""
    ours = {name for name in _loaded_by("function_app") if _is_ours(name)}
    assert {_room(name) for name in ours} <= {"wiring", "shared", "calls"}
    assert {name for name in ours if name.startswith("cdr.calls.")} == set()
