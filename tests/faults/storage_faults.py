"""Queue and table fail, by themselves, on the way, or because others are at work too."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping

from cdr.edges.storage.rejected_index import index_of
from cdr.wiring.ports import CALL_QUEUE, LEDGER_TABLE, POISON_QUEUE, STATE_TABLE
from tests.faults.lab import Lab, own_azurite
from tests.faults.proxies import Answer, Dropped, Forward, Request, Treatment
from tests.faults.site import Site
from tests.faults.treatments import refuse, reset_before, slow, slow_answer
from tests.faults.verdict import Verdict

ROWS = 6

Share = float

STORES = (LEDGER_TABLE, index_of(LEDGER_TABLE), STATE_TABLE, CALL_QUEUE, POISON_QUEUE)


def is_storage(request: Request) -> bool:
    return request.kind in ("queue", "table")


def is_conditional(request: Request) -> bool:
    return request.kind == "table" and request.headers.get("if-match", "*") != "*"


def lose_answers(rng: random.Random) -> Treatment:
    """Carried out, and then the answer is lost, or an error comes in its place."""

    async def treat(request: Request, forward: Forward) -> Answer:
        await forward()
        if rng.random() < 0.5:
            raise Dropped
        return await refuse(500, "InternalError")(request, forward)

    return treat


FAULTS: Mapping[str, tuple[Share, Callable[[random.Random], Treatment]]] = {
    "503 server busy": (0.3, lambda _: refuse(503, "ServerBusy")),
    "500": (0.3, lambda _: refuse(500, "InternalError")),
    "reset": (0.2, lambda _: reset_before),
    "answer lost": (0.2, lose_answers),
    "slow to begin": (0.6, lambda rng: slow(lambda: rng.uniform(0, 0.8))),
    "slow to answer": (0.2, lambda _: slow_answer(1.2)),
}


def misbehaves(lab: Lab, rng: random.Random, *, fault: str) -> tuple[Verdict, int]:
    """A share of all requests to queue and table, by lot."""
    share, act = FAULTS[fault]
    with Site(lab, rng, workers=2) as site:
        site.faults.add(is_storage, site.faults.often(share, rng, act(rng)))
        return _mixed_run(site)


def conflicts(lab: Lab, rng: random.Random) -> tuple[Verdict, int]:
    """Conditional writes are refused with 412 though nobody else has written."""
    with Site(lab, rng, workers=2) as site:
        act = refuse(412, "UpdateConditionNotSatisfied")
        site.faults.add(is_conditional, site.faults.often(0.4, rng, act))
        return _mixed_run(site)


def fails_for_good(lab: Lab, rng: random.Random, *, kind: str) -> tuple[Verdict, int]:
    """Every request to queue or to table is refused for a while, in the midst of the work."""
    with Site(lab, rng, workers=2) as site:
        late = site.add("good", ended=False)
        site.add_mixed(ROWS)
        site.start()
        site.pause(rng.uniform(0.1, 0.6))
        act = rng.choice([refuse(503, "ServerBusy"), refuse(500, "InternalError"), reset_before])
        site.faults.add(lambda request: request.kind == kind, site.faults.counted(act))
        site.wait_for(lambda: site.faults.injected > 0)
        site.pause(rng.uniform(1, 5))
        site.faults.clear()
        site.phone_system.end_call(late[0])
        return site.settle(), site.faults.injected


def restarts(lab: Lab, rng: random.Random) -> tuple[Verdict, int]:
    """The whole storage is stopped and started again in the midst of the work; what it has acknowledged is on disk."""
    folder = lab.folder / f"azurite-{lab.new_name()}"
    with own_azurite(folder) as storage, Site(lab, rng, workers=2, storage=storage.ports) as site:
        late = site.add("good", ended=False)
        site.start()
        for _ in range(2):
            site.add_mixed(ROWS)
            site.pause(rng.uniform(0.1, 0.8))
            storage.stop()
            site.faults.injected += 1
            site.pause(rng.uniform(0, 1))
            storage.start()
        site.phone_system.end_call(late[0])
        return site.settle(), site.faults.injected


def vanishes(lab: Lab, rng: random.Random) -> tuple[Verdict, int]:
    """A table or a queue is deleted in the midst of the work, and then another one. They are made anew; reconciling
    brings back what only they knew."""
    with Site(lab, rng, workers=2) as site:
        late = site.add("good", ended=False)
        site.start()
        for what in rng.sample(STORES, 2):
            site.add_mixed(ROWS)
            site.pause(rng.uniform(0.1, 1.5))
            site.books.remove(what)
            site.faults.injected += 1
        site.phone_system.end_call(late[0])
        return site.settle(also=lambda: site.reconcile() == 0), site.faults.injected


def many_at_work(lab: Lab, rng: random.Random) -> tuple[Verdict, int]:
    """Three workers that all poll, messages handed out twice, and a slow API: everybody gets in everybody's way."""

    async def hand_out_again(_: Request, forward: Forward) -> Answer:
        """What was received stays visible for others, as if the receiver's lease had ended."""
        await forward()
        return await forward()

    with Site(lab, rng, workers=3) as site:
        site.faults.add(lambda r: r.kind == "api", slow(lambda: rng.uniform(0, 0.4)))
        late = site.add("good", "good", ended=False)
        site.add_mixed(3 * ROWS)
        sends = site.faults.often(0.3, rng, hand_out_again)
        site.faults.add(lambda r: r.kind == "queue" and r.method == "POST" and "/messages" in r.target, sends)
        site.start()
        site.pause(0.5)
        for row_id in late:
            site.phone_system.end_call(row_id)
        return site.settle(), site.faults.injected


def _mixed_run(site: Site) -> tuple[Verdict, int]:
    """The faults end some time after the rows were polled."""
    late = site.add("good", ended=False)
    site.add_mixed(ROWS)
    site.start()
    site.wait_for(lambda: late[0] in site.books.position_or_empty().open_rows, within_s=15)
    site.phone_system.end_call(late[0])
    site.add("good")
    site.wait_for(lambda: site.faults.injected > 0)
    site.pause(site.rng.uniform(1, 4))
    site.faults.clear()
    return site.settle(), site.faults.injected


def replays_meanwhile(lab: Lab, rng: random.Random) -> tuple[Verdict, int]:
    """Rejected calls are replayed again and again while others work on them, and every write takes its time."""
    with Site(lab, rng, workers=2) as site:
        site.add(*["unmapped"] * 4)
        site.add_mixed(ROWS)
        site.start()
        site.wait_for(lambda: len(site.books.entries()) > 0)
        slowly = slow(lambda: rng.uniform(0, 0.4))
        site.faults.add(lambda r: r.kind == "table" and r.method == "PATCH", slowly)
        for _ in range(3):
            site.faults.injected += site.replay_all()
            site.pause(rng.uniform(0.3, 1))
        site.faults.clear()
        return site.settle(), site.faults.injected
