"""A backlog whose calls share messages: whatever happens to one of them, each has its own end."""

from __future__ import annotations

import random

from tests.faults.lab import Lab
from tests.faults.phone_system import call_id
from tests.faults.site import Site
from tests.faults.treatments import has_effect, kill_after, kill_before, of_kind, reset_after, reset_before, slow
from tests.faults.verdict import Verdict

ROWS = 24


def killed_by_lot(lab: Lab, rng: random.Random) -> tuple[Verdict, int]:
    """Both workers die at some of their requests, whatever these are; half of them are carried out."""
    with Site(lab, rng, workers=2) as site:
        site.add_mixed(ROWS)
        for act in rng.sample([kill_before, kill_after], 2):
            share = site.faults.often(0.05, rng, act, always=rng.randrange(1, 30))
            site.faults.add(lambda request: has_effect(request) and rng.random() < 0.5, share)
        site.start()
        site.wait_for(lambda: site.faults.injected > 2)
        site.faults.clear()
        return site.settle(), site.faults.injected


def slow_and_broken(lab: Lab, rng: random.Random) -> tuple[Verdict, int]:
    """Calls of one message are under way at the same time, and some of their answers are lost."""
    with Site(lab, rng, workers=2) as site:
        site.add_mixed(ROWS)
        break_ = rng.choice([reset_before, reset_after])
        site.faults.add(of_kind("api"), site.faults.often(0.2, rng, break_, always=3))
        site.start()
        site.wait_for(lambda: site.faults.injected > rng.randrange(1, 4))
        site.faults.clear()
        site.faults.add(of_kind("api"), slow(lambda: rng.uniform(0, 0.5)))
        return site.settle(), site.faults.injected


def one_kills_the_worker(lab: Lab, rng: random.Random) -> tuple[Verdict, int]:
    """The process dies again and again when it submits a certain call; those in the same message are not held up."""
    with Site(lab, rng) as site:
        killing = site.add("good", "good", "good", "good")[rng.randrange(4)]
        name = f'"{call_id(killing)}-{killing}"'.encode()
        site.faults.add(lambda r: r.kind == "api" and name in r.body, site.faults.at_most(4, kill_before))
        site.start()
        others_are_in = site.wait_for(lambda: len(site.books.entries()) >= 3, within_s=60)
        verdict = site.settle()
        if not others_are_in:
            verdict.problems.append("the other calls had to wait for the one that kills")
        return verdict, site.faults.injected
