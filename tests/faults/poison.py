"""Messages that nobody can work on: they must not stop the others, nor vanish."""

from __future__ import annotations

import json
import random
from base64 import b64encode

from tests.faults.lab import Lab
from tests.faults.phone_system import call_id
from tests.faults.site import Site
from tests.faults.treatments import kill_before
from tests.faults.verdict import Verdict

ROWS = 5


def kills_the_worker(lab: Lab, rng: random.Random) -> tuple[Verdict, int]:
    """One call kills the process whenever its claim is made; it ends in the ledger, and takes no other call with it."""
    with Site(lab, rng, host_lease_s=2) as site:
        site.add_mixed(ROWS)
        poison = site.add("good")[0]
        site.books.expected[poison] = "rejected"
        name = f'"{call_id(poison)}-{poison}"'.encode()
        site.faults.add(
            # The claim, not what keep_poisoned writes in the end.
            lambda r: r.kind == "table" and r.method == "POST" and name in r.body and b'"claimed"' in r.body,
            site.faults.counted(kill_before),
        )
        verdict = site.settle(within_s=110)
        if site.faults.injected < 10:
            verdict.problems.append(f"given up after {site.faults.injected} deliveries, should be at least 10")
        return verdict, site.faults.injected


def garbage(lab: Lab, rng: random.Random) -> tuple[Verdict, int]:
    """What others may put on the queue, between real calls."""
    texts = [
        "hello",
        "{",
        json.dumps({"version": 2, "row": {"id": 1}}),
        json.dumps({"version": 3, "records": [{"row": {"id": 1}}]}),
        json.dumps({"version": 1, "row": {"id": ""}}),
        json.dumps({"version": 1, "row": {"id": 1}, "travels": {"since": "yesterday"}}),
        "[" * 20_000 + "]" * 20_000,
        json.dumps({"a": "x" * 45_000}),
        '{"id": 7}',
        "\x00\x1b[31m\ud7ff",
        "null",
    ]
    with Site(lab, rng) as site:
        site.start()
        site.add_mixed(ROWS)
        site.wait_for(site.books.has_queue)
        chosen = [b64encode(text.encode()).decode() for text in rng.sample(texts, 6)]
        chosen.append(b64encode(bytes([0xFF, 0xFE, 0x80])).decode())
        chosen.append("this is not base64!")
        site.books.garbage = len(chosen)
        for text in chosen:
            site.books.queue.send_message(text, time_to_live=-1)
            site.faults.injected += 1
        site.add_mixed(ROWS)
        return site.settle(), site.faults.injected
