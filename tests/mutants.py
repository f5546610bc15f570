"""Changes single places of the product and looks whether its tests notice. What they do not notice is printed.

    pip install cosmic-ray
    python -m tests.mutants --sample 30 cdr/calls tests/unit/calls [module-or-folder tests ...]

Nothing is written: a changed module exists only in a process of its own, which runs the tests until the first fails. A
sample is the same each time, and the same for code that two versions of the project have in common.
"""

from __future__ import annotations

import argparse
import ast
import hashlib
import importlib
import importlib.machinery
import json
import os
import resource
import signal
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import cosmic_ray.plugins
import pytest
from cosmic_ray.ast import ast_nodes, get_ast
from cosmic_ray.mutating import mutate_code

AZURE = ("azure.functions", "azure.data.tables", "azure.storage.queue", "azure.identity")
COMMON = ("pydantic", "requests", "hypothesis", "holidays", "phonenumbers", "sqlalchemy", "flask", *AZURE)
"""Imported once, before the processes part."""

ARGUMENTS = ("-q", "-x", "-p", "no:cacheprovider", "-p", "no:xdist", "-W", "ignore::pytest.PytestAssertRewriteWarning")


@dataclass(frozen=True, slots=True)
class Place:
    """Something to change: the first so many things that an operator can be applied to come before it."""

    operator: str
    occurrence: int
    line: int
    rank: str
    """By what stands there and not by where it stands, so that versions of the project can be compared."""


def places_in(source: str) -> list[Place]:
    """Each place and sort of change once, in an order of no meaning; the ways to replace an operator are one sort."""
    chosen: dict[tuple[object, str], Place] = {}
    tree, lines = get_ast(source), source.splitlines()
    for name in sorted(cosmic_ray.plugins.operator_names()):
        operator = cosmic_ray.plugins.get_operator(name)
        if operator.arguments() or name.endswith(("_Is", "_IsNot")):
            continue
        spans = [span for node in ast_nodes(tree) for span in operator().mutation_positions(node)]
        for occurrence, span in enumerate(spans):
            (row, column), _ = span
            line = lines[row - 1]
            what = f"{name} {column - len(line) + len(line.lstrip())} {line.strip()}"
            place = Place(name, occurrence, row, hashlib.sha256(what.encode()).hexdigest())
            key = (span, name.partition("_")[0])
            chosen[key] = min(chosen.get(key, place), place, key=lambda found: found.rank)
    return sorted(chosen.values(), key=lambda place: place.rank)


@dataclass(frozen=True, slots=True)
class Mutant:
    """One change of one place."""

    place: Place
    source: str
    before: str
    after: str


def mutants_of(source: str, wanted: Callable[[Place], bool]) -> Iterator[Mutant]:
    """Annotations and slots make none: they change nothing that a program does which keeps to its types."""
    unchanged = dumped(source)
    for place in filter(wanted, places_in(source)):
        changed = mutate_code(source, cosmic_ray.plugins.get_operator(place.operator)(), place.occurrence)
        if changed is not None and dumped(changed) != unchanged:
            yield Mutant(place, changed, *changed_lines(source, changed))


def dumped(source: str) -> str:
    try:
        tree = ast.parse(source)
    except SyntaxError:
        return ""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            node.returns = None
        if isinstance(node, ast.arg):
            node.annotation = None
        if isinstance(node, ast.AnnAssign):
            node.annotation = ast.Constant(None)
        if isinstance(node, ast.keyword) and node.arg == "slots":
            node.value = ast.Constant(None)
    return ast.dump(tree)


def changed_lines(source: str, changed: str) -> tuple[str, str]:
    old, new = source.splitlines(), changed.splitlines()
    first = next((n for n, (a, b) in enumerate(zip(old, new, strict=False)) if a != b), min(len(old), len(new)) - 1)
    return old[first].strip(), new[first].strip()


def passes(file: Path, source: str, tests: list[str], most_s: float | None = None) -> bool:
    """Whether the tests pass with this text in place of a module's, in time."""
    child = os.fork()
    if not child:
        os._exit(run_tests(file, source, tests, most_s))
    patience = time.monotonic() + (most_s * 8 if most_s else 900)
    while time.monotonic() < patience:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return status == 0
        time.sleep(0.02)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return False


def run_tests(file: Path, source: str, tests: list[str], most_s: float | None) -> int:
    """In a process that this ends with."""
    read = importlib.machinery.SourceFileLoader.get_code

    def get_code(loader: importlib.machinery.SourceFileLoader, name: str) -> object:
        if Path(loader.path) == file:
            return compile(source, loader.path, "exec", dont_inherit=True)
        return read(loader, name)

    importlib.machinery.SourceFileLoader.get_code = get_code  # type: ignore[method-assign,assignment]
    os.environ["CI"] = "1"  # hypothesis tries the same examples each time
    if most_s:
        resource.setrlimit(resource.RLIMIT_CPU, (int(most_s), int(most_s) + 1))
    with open(os.devnull, "w") as nowhere, redirect_stdout(nowhere), redirect_stderr(nowhere):  # noqa: PTH123
        return int(pytest.main([*ARGUMENTS, *tests]))


def modules_in(place: Path) -> Iterable[Path]:
    return sorted(place.rglob("[a-z]*.py")) if place.is_dir() else [place]


def examine(file: Path, tests: list[str], sample: int | None, known: set[str]) -> Iterator[dict[str, object]]:
    source = file.read_text(encoding="utf-8")
    mutants = list(islice(mutants_of(source, lambda place: not known or place.rank in known), sample))
    if not mutants:
        return
    began = os.times()
    if not passes(file, source, tests):
        sys.exit(f"the tests of {file} fail without any change")
    most_s = 20 + 4 * (os.times().children_user - began.children_user)
    for mutant in mutants:
        yield {
            "file": str(file.relative_to(Path.cwd())),
            "line": mutant.place.line,
            "rank": mutant.place.rank,
            "killed": not passes(file, mutant.source, tests, most_s),
            "before": mutant.before,
            "after": mutant.after,
        }


def main() -> None:
    parser = argparse.ArgumentParser(prog="tests.mutants", description="Do the tests notice wrong code?")
    parser.add_argument("--sample", type=int, help="so many places of each module; else all")
    parser.add_argument("--into", type=Path, help="a file that gets a line of JSON for each change")
    parser.add_argument("--only", type=Path, help="a file of that kind: only the changes it names")
    parser.add_argument("places", nargs="+", metavar="module-or-folder tests", help="tests of a module, by commas")
    options = parser.parse_args()
    sys.path.insert(0, str(Path.cwd()))
    for name in COMMON:
        importlib.import_module(name)
    named = options.only.read_text(encoding="utf-8").splitlines() if options.only else []
    known = {json.loads(line)["rank"] for line in named}
    for place, tests in zip(options.places[::2], options.places[1::2], strict=True):
        for file in modules_in(Path(place).absolute()):
            found = []
            for each in examine(file, tests.split(","), options.sample, known):
                found.append(bool(each["killed"]))
                if not each["killed"]:
                    print(f"{each['file']}:{each['line']}: {each['before']}\n    -> {each['after']}", flush=True)
                if options.into:
                    with options.into.open("a", encoding="utf-8") as lines:
                        lines.write(json.dumps(each) + "\n")
            print(f"{file.relative_to(Path.cwd())}: {sum(found)} of {len(found)} noticed", flush=True)


if __name__ == "__main__":
    main()
