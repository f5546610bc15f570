"""Whatever fails in between: every ended row is one entry at the API or one record in the ledger, and nothing is twice.

Each kind of fault is tried once, and a kind of kill at a few of its places: ``conftest.chosen_steps`` picks them with a
fixed seed, so a failure comes again in the next run. ``python -m tests.faults`` goes through all places, over and over.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.faults.conftest import Outcomes
from tests.faults.kinds import KINDS
from tests.support.requirements import need
from tests.systems import mariadb


@pytest.mark.timeout(180)
@pytest.mark.parametrize("name", [name for name, kind in KINDS.items() if not kind.only_long])
def test_nothing_is_lost_and_nothing_is_twice(name: str, experiments: Callable[[str], Outcomes]) -> None:
    if KINDS[name].needs_mariadb:
        need(mariadb.is_installed())
    outcomes = experiments(name)
    for verdict, _ in outcomes:
        assert not verdict.problems, f"{verdict.problems}\n{verdict.report}"
        assert verdict.calls > 0
    assert sum(injections for _, injections in outcomes) > 0, "no fault was ever injected"


def test_what_was_measured_is_written_down_for_every_kind() -> None:
    document = (Path(__file__).parents[2] / "docs" / "guarantees.md").read_text(encoding="utf-8")
    table = document.partition("| fault ")[2].partition("| **all** ")[0]
    measured = {
        name: [int(cell) for cell in cells.split("|")]
        for name, cells in re.findall(r"^\| (\S.*?) +\|((?: +\d+ \|){3} +\d+) \|", table, re.MULTILINE)
    }
    assert measured.keys() == KINDS.keys()
    assert sum(injections for injections, *_ in measured.values()) >= 2_000
    assert {(lost, twice) for _, _, lost, twice in measured.values()} == {(0, 0)}
