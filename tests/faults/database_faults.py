"""The phone system's database fails, or commits in an order that is not that of its ids."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.faults.lab import Lab
from tests.faults.phone_system import SORTS
from tests.faults.proxies import Answer, Forward, Request
from tests.faults.site import Site
from tests.faults.treatments import reset_before, slow
from tests.faults.verdict import Verdict
from tests.systems import mariadb

ROWS = 10
STATEMENT_TIMEOUT_S = 1
STEPS = 9
"""About how many commands and connections two polls of ROWS rows make."""


def is_command(request: Request) -> bool:
    return request.kind == "database"


def killed_mid_page(lab: Lab, rng: random.Random) -> tuple[Verdict, int]:
    """SIGKILL to MariaDB when half of a page is on its way, then it starts again."""
    with mariadb.start() as server, Site(lab, rng, engine="mysql", mariadb=server) as site:

        async def kill(_: Request, forward: Forward) -> Answer:
            answer = await forward()
            server.kill()
            return Answer(0, body=answer.body, cut=rng.randrange(len(answer.body) + 1))

        late = site.add("good", ended=False)
        site.add_mixed(ROWS)
        site.faults.add(lambda r: "SELECT cdr" in r.target, site.faults.at({rng.randint(1, 3)}, kill))
        site.start()
        site.wait_for(lambda: site.faults.injected > 0)
        site.pause(rng.uniform(0, 0.5))
        server.restart()
        site.phone_system.end_call(late[0])
        site.add("good")
        return site.settle(), site.faults.injected


def connection_dropped(lab: Lab, rng: random.Random, *, n: int) -> tuple[Verdict, int]:
    """The connection breaks at the n-th command, half of the times within its answer."""

    async def cut(request: Request, forward: Forward) -> Answer:
        if request.method == "connect" or rng.random() < 0.5:
            return await reset_before(request, forward)
        answer = await forward()
        return Answer(0, body=answer.body, cut=len(answer.body) // 2)

    with Site(lab, rng, engine="mysql") as site:
        late = site.add("good", ended=False)
        site.add_mixed(ROWS)
        site.faults.add(is_command, site.faults.at({n, n + rng.randint(2, 9)}, cut))
        site.start()
        site.wait_for(lambda: late[0] in site.books.position_or_empty().open_rows)
        site.phone_system.end_call(late[0])
        return site.settle(), site.faults.injected


def too_slow(lab: Lab, rng: random.Random) -> tuple[Verdict, int]:
    """Answers take longer than the statement may, and the driver waits for them."""
    with Site(lab, rng, engine="mysql") as site:
        late = site.add("good", ended=False)
        site.add_mixed(ROWS)
        act = slow(lambda: STATEMENT_TIMEOUT_S + rng.choice([0.2, 6.0]))
        site.faults.add(lambda r: "SELECT cdr" in r.target, site.faults.at_most(2, act))
        site.start()
        site.wait_for(lambda: late[0] in site.books.position_or_empty().open_rows, within_s=30)
        site.phone_system.end_call(late[0])
        return site.settle(), site.faults.injected


def table_locked(lab: Lab, rng: random.Random) -> tuple[Verdict, int]:
    """Somebody holds a lock on the table for longer than the statement timeout."""
    with Site(lab, rng, engine="mysql") as site:
        late = site.add("good", ended=False)
        site.add_mixed(ROWS)
        site.start()
        site.pause(rng.uniform(0, 0.3))
        with site.phone_system.transaction() as cursor:
            cursor.execute("LOCK TABLES CallLog WRITE")
            site.faults.injected += 1
            site.pause(STATEMENT_TIMEOUT_S + rng.uniform(0.3, 2))
            site.phone_system.insert_with(cursor, late[0] + 100, "good")
            site.books.expected[late[0] + 100] = "submitted"
        site.phone_system.end_call(late[0])
        return site.settle(), site.faults.injected


def commits_out_of_order(lab: Lab, rng: random.Random) -> tuple[Verdict, int]:
    """Transactions take their ids early and are committed late, or rolled back; some ids are jumped over."""
    with Site(lab, rng, engine="mysql", workers=2) as site:
        site.add_mixed(3)
        site.start()
        next_id = 10
        for _ in range(4):
            with _transactions(site, rng.randint(2, 4)) as cursors:
                for cursor in cursors:
                    for _ in range(rng.randint(1, 3)):
                        sort = rng.choice(list(SORTS))
                        site.phone_system.insert_with(cursor, next_id, sort)
                        site.expect(next_id, sort)
                        next_id += 1
                rng.shuffle(cursors)
                for cursor in cursors:
                    rolled_back = rng.random() < 0.25
                    cursor.connection.rollback() if rolled_back else cursor.connection.commit()
                    site.faults.injected += 1
                    site.pause(rng.uniform(0, 0.4))
            next_id += rng.choice([0, 1, 1_000, 10_000])
        site.add("good", first_id=next_id)
        return site.settle(), site.faults.injected


def gaps_are_forgotten(lab: Lab, rng: random.Random) -> tuple[Verdict, int]:
    """A jump of ids is kept for gap_wait, then forgotten; a row that comes just before that is not lost."""
    wait_s = 90  # three seconds of ours
    more = {"gap_wait": f"{wait_s} seconds"}
    with Site(lab, rng, engine="mysql", three_cx=more) as site:
        site.add("good")
        next_id = 1 + rng.choice([1_000, 10_000])
        site.add("good", first_id=next_id)
        site.start()
        site.wait_for(lambda: site.books.position_or_empty().last == next_id)
        site.faults.injected += 1
        time.sleep(wait_s / 30 * rng.uniform(0.1, 0.7))
        site.add("good", first_id=rng.randrange(2, next_id))
        site.books.missing_ids_are_kept = False
        verdict = site.settle(also=lambda: not site.books.position_or_empty().gaps)
        return verdict, site.faults.injected


def rows_given_up(lab: Lab, rng: random.Random) -> tuple[Verdict, int]:
    """A row that never ends is given up after open_row_wait: a record in the ledger, not silence."""
    more = {"open_row_wait": "60 seconds"}
    with Site(lab, rng, three_cx=more) as site:
        given_up = site.add("good", "good", ended=False)
        site.add_mixed(4)
        site.faults.injected += len(given_up)
        site.books.given_up.update(given_up)
        for row_id in given_up:
            site.books.expected[row_id] = "rejected"
        return site.settle(), site.faults.injected


@contextmanager
def _transactions(site: Site, count: int) -> Iterator[list[Any]]:
    connections = [site.phone_system.connect() for _ in range(count)]
    try:
        yield [connection.cursor() for connection in connections]
    finally:
        for connection in connections:
            connection.close()
