"""A phone system that writes legs: late, in any order, twice, and joined later, while everything fails."""

from __future__ import annotations

import random

from tests.faults.lab import Lab
from tests.faults.leg_system import Row
from tests.faults.site import Site
from tests.faults.treatments import kill_after, kill_before, of_kind, reset_after, reset_before
from tests.faults.verdict import Verdict

SORTS = ("good", "consulted", "unanswered", "anonymous", "consulted", "unmapped", "good", "long number")
SHARE = 0.04
"""Of the requests of each kind."""


def arrive_anyhow(lab: Lab, rng: random.Random, *, engine: str, kills: bool) -> tuple[Verdict, int]:
    """Legs in any order, a third of them twice, and consultations that are told later where they belong."""
    with Site(lab, rng, workers=2, engine=engine, source="v20") as site:
        acts = (kill_before, kill_after) if kills else (reset_before, reset_after)
        for kind in ("queue", "table", "api", "database"):
            often = site.faults.often(SHARE, rng, rng.choice(acts), always=rng.randint(2, 6))
            site.faults.add(of_kind(kind), often)
        written = [_writings(site, rng, number, sort) for number, sort in enumerate(SORTS, start=1)]
        site.start()
        while any(written):
            rows = rng.choice([rows for rows in written if rows])
            row, instead = rows.pop(0)
            with site.phone_system.transaction() as cursor:
                site.phone_system.write(cursor, row, instead=instead)
            site.pause(rng.uniform(0, 0.15))
        site.pause(2)
        site.faults.clear()
        return site.settle(), site.faults.injected


def _writings(site: Site, rng: random.Random, number: int, sort: str) -> list[tuple[Row, bool]]:
    """A call's rows in the order in which they come, and whether each takes the place of what there is of its leg."""
    site.expect(number, sort)
    legs = site.phone_system.legs(number, sort)
    rng.shuffle(legs)
    apart = [(row | {"main_call_history_id": None}, True) for row in legs if row.get("main_call_history_id")]
    doubled = [(row, False) for row in legs if rng.random() < 0.3]
    return [*apart, *((row, True) for row in legs), *doubled]
