"""Workers that stand still (SIGSTOP), as a starved instance does, and go on after another has their calls."""

from __future__ import annotations

import asyncio
import random

from tests.faults.lab import Lab
from tests.faults.proxies import Answer, Forward, Request
from tests.faults.site import SPEED, Site
from tests.faults.verdict import Verdict

ROWS = 6
LEASE_S = 180 / SPEED
"""Of a claim, in our time."""

ON_THE_WAY_S = 0.06
"""About what a worker needs from the answer to its claim to the last byte of the submission."""


def is_claim(request: Request) -> bool:
    return request.kind == "table" and request.method in ("POST", "PATCH") and b'"claimed"' in request.body


def between_claim_and_submission(lab: Lab, rng: random.Random) -> tuple[Verdict, int]:
    """A worker freezes somewhere between its claim and its submission, and thaws when its lease has ended."""
    frozen: asyncio.Queue[float] = asyncio.Queue()
    wanted = rng.randint(1, 3)
    seen = 0

    async def act(request: Request, forward: Forward) -> Answer:
        nonlocal seen
        answer = await forward()
        seen += 1
        if seen == wanted:
            site.faults.injected += 1
            asyncio.get_running_loop().call_later(rng.uniform(0, ON_THE_WAY_S), request.worker.process.freeze)
            frozen.put_nowait(0)
        return answer

    with Site(lab, rng, workers=2) as site:
        site.faults.add(is_claim, act)
        site.add("good", "good", "good")
        site.add_mixed(ROWS)
        site.start()
        site.wait_for(lambda: not frozen.empty())
        site.pause(LEASE_S + rng.uniform(-0.5, 3))
        for worker in site.workers:
            worker.process.thaw()
        return site.settle(), site.faults.injected


def at_random(lab: Lab, rng: random.Random) -> tuple[Verdict, int]:
    """One worker of two after the other freezes, whatever it is doing, for a moment or for longer than a lease."""
    with Site(lab, rng, workers=2) as site:
        late = site.add("good", ended=False)
        site.add_mixed(ROWS)
        site.start()
        for _ in range(3):
            site.pause(rng.uniform(0.02, 0.5))
            worker = rng.choice(site.workers)
            worker.process.freeze()
            site.faults.injected += 1
            site.add("good")
            site.pause(rng.choice([0.3, 1.5, LEASE_S + 0.5]) * rng.uniform(0.8, 1.2))
            worker.process.thaw()
        site.phone_system.end_call(late[0])
        return site.settle(), site.faults.injected


def skewed_clocks(lab: Lab, rng: random.Random) -> tuple[Verdict, int]:
    """The clocks of the workers' systems are minutes or hours wrong; messages come twice, and the API takes its time.
    Who went by his own clock would take a claim over that another has still, or never see one end."""

    async def twice(_: Request, forward: Forward) -> Answer:
        await forward()
        return await forward()

    async def slowly(_: Request, forward: Forward) -> Answer:
        await asyncio.sleep(rng.uniform(0.1, 0.6))
        return await forward()

    skews = [rng.choice([-1, 1]) * rng.choice([90, 240, 600, 7200]), 0, rng.choice([-1, 1]) * rng.uniform(60, 600)]
    with Site(lab, rng, workers=3, skews_s=rng.sample(skews, 3)) as site:
        site.faults.injected += 2
        site.faults.add(lambda r: r.kind == "api" and r.method == "POST", slowly)
        sends = site.faults.at_most(2 * ROWS, twice)  # not all, or messages that are put back never end
        site.faults.add(lambda r: r.kind == "queue" and r.method == "POST" and "/messages" in r.target, sends)
        late = site.add("good", ended=False)
        site.add_mixed(2 * ROWS)
        site.start()
        site.pause(rng.uniform(0.2, 1))
        rng.choice(site.workers).kill()
        site.phone_system.end_call(late[0])
        return site.settle(), site.faults.injected
