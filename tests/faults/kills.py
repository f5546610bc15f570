"""SIGKILL at every step: when a request comes in, and after it was carried out but before its answer is passed on."""

from __future__ import annotations

import random

from tests.faults.lab import Lab
from tests.faults.proxies import Answer, Forward, Request
from tests.faults.site import Site
from tests.faults.treatments import Wanted, has_effect, kill_after, kill_before
from tests.faults.verdict import Verdict

ROWS = 5
STEPS = {"queue": 13, "table": 24, "api": 6, "database": 12}
"""About how many requests of each kind an undisturbed run of ROWS rows makes: ``n`` wraps around there."""


def _is_step(kind: str) -> Wanted:
    return lambda request: request.kind == kind and has_effect(request)


def kill_at(
    lab: Lab, rng: random.Random, *, kind: str, after: bool, n: int, source: str = "calllog"
) -> tuple[Verdict, int]:
    """Kill the worker at its n-th request of a kind, and the one that takes its place a few requests later."""
    with Site(lab, rng, engine="mysql" if kind == "database" else "sqlite", source=source) as site:
        site.faults.add(
            _is_step(kind), site.faults.at((n, n + rng.randint(2, 9)), kill_after if after else kill_before)
        )
        if kind == "api":
            site.add("good", "good", "good", "good")  # as many submissions as there are steps, whatever the lot brings
        return _mixed_run(site)


def kill_with_messages_in_hand(lab: Lab, rng: random.Random, *, n: int) -> tuple[Verdict, int]:
    """Kill the worker when its host has received messages for the n-th time, and knows nothing of them."""
    received = 0

    async def kill(request: Request, forward: Forward) -> Answer:
        nonlocal received
        answer = await forward()
        received += b"<MessageText>" in answer.body
        if received == n:
            received += 1
            site.faults.injected += 1
            request.worker.kill()
        return answer

    with Site(lab, rng) as site:
        site.faults.add(lambda request: request.kind == "queue" and request.method == "GET", kill)
        return _mixed_run(site)


def kill_at_random(lab: Lab, rng: random.Random, *, kills: int) -> tuple[Verdict, int]:
    """Kill one of two workers, several times, whatever it is doing."""
    with Site(lab, rng, workers=2) as site:
        late = site.add("good", ended=False)
        site.add_mixed(ROWS)
        site.start()
        for _ in range(kills):
            site.pause(rng.uniform(0.02, 0.7))
            rng.choice(site.workers).kill()
            site.faults.injected += 1
            site.add("good")
        site.phone_system.end_call(late[0])
        return site.settle(), site.faults.injected


def _mixed_run(site: Site) -> tuple[Verdict, int]:
    """Rows of several sorts, one of which has not ended when it is first seen."""
    late = site.add("good", ended=False)
    site.add_mixed(ROWS)
    site.start()
    site.wait_for(lambda: site.books.waits_for(late[0]))
    site.phone_system.end_call(late[0])
    return site.settle(), site.faults.injected
