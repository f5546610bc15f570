"""Whatever fails in between: every ended row is one entry at the API or one record in the ledger, and nothing is twice.

Each kind of fault is tried once, and a kind of kill at a few of its places: ``conftest.chosen_steps`` picks them with a
fixed seed, so a failure comes again in the next run. ``python -m tests.faults`` goes through all places, over and over.
"""

from __future__ import annotations

from collections.abc import Callable

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
