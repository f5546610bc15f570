"""Changes single places of the product and looks whether its tests notice. What they do not notice is printed.

    pip install cosmic-ray
    python -m tests.mutants --sample 30 cdr/calls tests/unit/calls [module-or-folder tests ...]

Nothing is written: a changed module exists only in a process of its own, which runs the tests until the first fails. The
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
from collections.abc import Iterable, Iterator
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path

import cosmic_ray.plugins
import pytest
from cosmic_ray.ast import ast_nodes, get_ast
from cosmic_ray.mutating import mutate_code

COMMON = ("pydantic", "requests", "hypothesis", "holidays", "phonenumbers", "sqlalchemy", "azure.functions")
"""Imported once, before the processes part."""

ARGUMENTS = ("-q", "-x", "-p", "no:cacheprovider", "-p", "no:xdist", "-W", "ignore::pytest.PytestAssertRewriteWarning")


@dataclass(frozen=True, slots=True)
class Mutant:
    """One change of one place."""

    number: int
    before: str
    after: str
    source: str

    @property
    def rank(self) -> str:
        """By what is changed and not by where it stands, so that versions of the project can be compared."""
        return hashlib.sha256(f"{self.before}\n{self.after}".encode()).hexdigest()


def mutants_of(source: str) -> Iterator[Mutant]:
    """One for each place and sort of change; the many ways to replace an operator by another are one sort."""
    chosen: dict[tuple[object, str], Mutant] = {}
    tree = get_ast(source)
    for name in sorted(cosmic_ray.plugins.operator_names()):
        operator = cosmic_ray.plugins.get_operator(name)
        if operator.arguments() or name.endswith(("_Is", "_IsNot")):
            continue
        places = [place for node in ast_nodes(tree) for place in operator().mutation_positions(node)]
        for occurrence, place in enumerate(places):
            changed = mutate_code(source, operator(), occurrence)
            if changed is None or is_the_same(source, changed):
                continue
            mutant = Mutant(place[0][0], *changed_lines(source, changed), changed)
            key = (place, name.partition("_")[0])
            chosen[key] = min(chosen.get(key, mutant), mutant, key=lambda found: found.rank)
    yield from chosen.values()


def is_the_same(source: str, changed: str) -> bool:
    """Whether only annotations differ, which nothing looks at while the program runs."""
    return dumped(source) == dumped(changed)


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
    mutants = sorted(mutants_of(source), key=lambda mutant: mutant.rank)
    mutants = [m for m in mutants if m.rank in known] if known else mutants[:sample]
    if not mutants:
        return
    began = os.times()
    if not passes(file, source, tests):
        sys.exit(f"the tests of {file} fail without any change")
    spent = os.times()
    most_s = 20 + 4 * (spent.children_user - began.children_user)
    for mutant in mutants:
        killed = not passes(file, mutant.source, tests, most_s)
        where = str(file.relative_to(Path.cwd()))
        yield {"file": where, "line": mutant.number, "killed": killed, "before": mutant.before, "after": mutant.after}


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
    named = [json.loads(line) for line in options.only.read_text().splitlines()] if options.only else []
    known = {Mutant(0, each["before"], each["after"], "").rank for each in named}
    for place, tests in zip(options.places[::2], options.places[1::2], strict=True):
        for file in modules_in(Path(place).absolute()):
            found = list(examine(file, tests.split(","), options.sample, known))
            report(file, found, options.into)


def report(file: Path, found: list[dict[str, object]], into: Path | None) -> None:
    print(f"{file.relative_to(Path.cwd())}: {sum(bool(f['killed']) for f in found)} of {len(found)} noticed", flush=True)
    for each in found:
        if not each["killed"]:
            print(f"  {each['line']}: {each['before']}\n      -> {each['after']}", flush=True)
        if into:
            with into.open("a", encoding="utf-8") as lines:
                lines.write(json.dumps(each) + "\n")


if __name__ == "__main__":
    main()
