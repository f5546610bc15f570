"""How long a call takes from its row's commit to its entry at the Call Logger, on the local host."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from math import ceil
from typing import Any

from local.call_logger.store import Entry
from tests.bench.lab import Lab
from tests.bench.results import Goal, Result
from tests.functions.surroundings import Backend, RecordingCallLogger
from tests.support.factories import make_raw_row
from tests.support.waiting import wait_until
from tests.systems.host import PROJECT, HostProcess

INTERVAL_S = 5
FUNCTIONS = ("poll_cdr", "submit_call")


class Watched(Backend):
    """Remembers when each entry came."""

    def __init__(self) -> None:
        super().__init__()
        self.came: dict[int, float] = {}
        """By the row's number."""

    def submit(self, body: Any) -> Entry:
        entry = super().submit(body)
        self.came[int(body["pbxCallId"].rpartition("-")[2])] = time.monotonic()
        return entry


def commit_to_entry(lab: Lab) -> Iterator[Result]:
    calls, system, backend = lab.sizes.arrivals, lab.backlog(0), Watched()
    chance = random.Random(1)
    committed: list[float] = []
    with RecordingCallLogger(backend) as call_logger:
        variables = lab.variables(
            lab.new_account(), system.settings(), base_url=call_logger.base_url, interval_s=INTERVAL_S
        )
        with HostProcess(PROJECT, variables, "--functions", *FUNCTIONS) as host:
            host.ask("POST", "/admin/functions/poll_cdr", json={}).raise_for_status()  # the first one, which costs more
            wait_until(lambda: any("poll.finished" in line for line in list(host.lines)))
            for number in range(1, calls + 1):
                system.insert(make_raw_row(id=number, call_id=f"call-{number}"))
                committed.append(time.monotonic())
                time.sleep(chance.uniform(0, 2 * lab.sizes.arrivals_within_s / calls))
            wait_until(lambda: len(backend.came) == calls)
    waited = sorted(backend.came[number] - at for number, at in enumerate(committed, 1))
    p99 = waited[ceil(0.99 * calls) - 1]
    behind = {"s at most": p99, "s, median": waited[calls // 2], "calls": calls, "s between polls": INTERVAL_S}
    yield Result("commit to entry, p99, beyond the interval of polls", p99 - INTERVAL_S, "s", Goal("most", 1.0), behind)
