"""Dependencies point one way, nothing heavy is loaded before it is needed, and the numbers fit together."""

from __future__ import annotations

import ast
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from cdr.edges.sql.engines import CONNECT_TIMEOUT_S as DATABASE_CONNECT_TIMEOUT_S
from cdr.wiring.parts import CLAIM_LEASE, CLEANING_BUDGET, HTTP_BUDGET, SUBMIT_BUDGET
from cdr.wiring.plans import POLL_LEASE
from shared.config.call_logger import Api
from shared.config.phone_system import Database

PROJECT = Path(__file__).parents[2]
OURS = ("cdr", "shared", "function_app", "local", "tests", "dev")
HEAVY = ("pyodbc", "pymysql", "psycopg", "sqlalchemy", "requests", "urllib3", "phonenumbers", "holidays")
HEAVY_AZURE = ("azure.storage", "azure.data", "azure.identity", "azure.core")
LONGEST_HTTP_ANSWER = timedelta(seconds=230)
"""After that the platform's load balancer answers in place of the app."""


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


def _imports_in(node: ast.AST, importer: str, *, lazy: bool = False, for_types: bool = False) -> Iterator[Import]:
    for child in ast.iter_child_nodes(node):
        for name in _names(child):
            yield Import(importer, name, lazy, for_types)
        yield from _imports_in(
            child,
            importer,
            lazy=lazy or isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda),
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
    "web": {"azure"},
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


def _largest(section: type, field: str) -> float:
    (bound,) = [rule.le for rule in section.model_fields[field].metadata if hasattr(rule, "le")]  # type: ignore[attr-defined]
    return float(bound)


def _seconds(text: str) -> timedelta:
    hours, minutes, seconds = text.split(":")
    return timedelta(hours=int(hours), minutes=int(minutes), seconds=int(seconds))


@pytest.fixture(scope="module")
def host() -> dict[str, Any]:
    return json.loads((PROJECT / "host.json").read_text())


def test_an_attempt_ends_before_the_worker_gives_up_the_claim_ends_after_that_and_the_message_comes_last(
    host: dict[str, Any],
) -> None:
    attempt = timedelta(seconds=_largest(Api, "timeout_seconds"))
    redelivery = _seconds(host["extensions"]["queues"]["visibilityTimeout"])
    assert attempt < SUBMIT_BUDGET < CLAIM_LEASE < redelivery


def test_every_message_that_the_host_fetches_has_a_thread() -> None:
    queues = json.loads((PROJECT / "host.json").read_text())["extensions"]["queues"]
    values = json.loads((PROJECT / "local.settings.example.json").read_text())["Values"]
    threads = int(values["PYTHON_THREADPOOL_THREAD_COUNT"])
    assert queues["batchSize"] + queues["newBatchThreshold"] <= threads <= 32


def test_the_host_asks_as_the_design_wants(host: dict[str, Any]) -> None:
    queues = host["extensions"]["queues"]
    assert 8 <= queues["maxDequeueCount"] <= 10
    assert queues["messageEncoding"] == "none"  # text_of_body decodes, so that nothing is set aside unseen
    assert host["extensions"]["http"]["routePrefix"] == ""


def test_the_slowest_statement_ends_before_the_lease_of_its_poll() -> None:
    statement = timedelta(seconds=_largest(Database, "statement_timeout_seconds") + DATABASE_CONNECT_TIMEOUT_S)
    assert statement < POLL_LEASE


def test_no_function_outlasts_what_the_platform_allows(host: dict[str, Any]) -> None:
    assert HTTP_BUDGET < LONGEST_HTTP_ANSWER
    assert max(CLEANING_BUDGET, SUBMIT_BUDGET, HTTP_BUDGET) < _seconds(host["functionTimeout"])
