"""Runs the experiments that pytest selected, several at a time, and prints their table at the end."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from tests.faults.kinds import KINDS, Kind
from tests.faults.lab import AT_ONCE, Lab, missing
from tests.faults.tally import Tally
from tests.faults.verdict import Verdict
from tests.support.requirements import need
from tests.support.sections import SECTIONS
from tests.systems import mariadb

SEED = 20_261_122
SAMPLE = 2
"""Of the places that a kind of kill can hit, so many are tried here; the long run tries all of them."""

WAIT_SECONDS = 170

TALLY = Tally()

Outcomes = list[tuple[Verdict, int]]


def chosen_steps(kind: Kind) -> list[int]:
    """Which experiments of a kind are run here: its only one, or a sample of its places, the same in every run."""
    return sorted(random.Random(f"{SEED} {kind.name}").sample(range(kind.steps), min(SAMPLE, kind.steps)))


@pytest.fixture(scope="session")
def experiments(request: pytest.FixtureRequest) -> Iterator[Callable[[str], Outcomes]]:
    """What became of a kind's experiments, by its name. All that are selected begin when the first is asked for."""
    need(missing())
    names = [item.callspec.params["name"] for item in request.session.items if "experiments" in item.fixturenames]
    names = [name for name in names if not (KINDS[name].needs_mariadb and mariadb.is_installed())]
    with Lab() as lab:
        pool = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="experiment")

        def begin(name: str, step: int) -> Future[tuple[Verdict, int]]:
            return pool.submit(KINDS[name].experiment(step), lab, random.Random(f"{SEED} {name} {step}"))

        # The slowest first, so that the others run beside it.
        ordered = sorted(names, key=lambda name: not name.startswith("poison"))
        running = {name: [begin(name, step) for step in chosen_steps(KINDS[name])] for name in ordered}

        def outcomes(name: str) -> Outcomes:
            found = [future.result(timeout=WAIT_SECONDS) for future in running[name]]
            for verdict, injections in found:
                TALLY.add(name, verdict, injections)
            return found

        yield outcomes
        pool.shutdown(wait=True, cancel_futures=True)
    SECTIONS["faults"] = TALLY.table()
