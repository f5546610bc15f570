"""Storage requests, counted where they arrive: proxies stand before queue and tables."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from cdr.wiring.ports import STATE_TABLE
from tests.bench.lab import AT_ONCE, Account, Lab
from tests.bench.results import Goal, Result
from tests.faults.proxies import Answer, Forward, HttpProxy, Request
from tests.support.factories import make_raw_row
from tests.support.waiting import wait_until
from tests.systems.host import PROJECT, HostProcess

SINGLY = {
    "storage requests of a single call": 1,
    f"storage requests of a single call, {AT_ONCE} at once": AT_ONCE,
}
"""How many calls a poll finds, each of which gets a message of its own."""

Purpose = Literal["call", "look", "poll", "once"]
"""Of a call; whether there is a message, when there is none; of a poll; at the start of a process."""


@dataclass
class Counted:
    """Requests by what they are for."""

    of: Counter[Purpose] = field(default_factory=Counter)
    kinds: Counter[str] = field(default_factory=Counter)
    """Those of calls, by service and method."""

    async def treat(self, request: Request, forward: Forward) -> Answer:
        answer = await forward()
        purpose = _purpose(request, answer)
        self.of[purpose] += 1
        if purpose == "call":
            self.kinds[f"{request.kind} {request.method}"] += 1
        return answer


def _purpose(request: Request, answer: Answer) -> Purpose:
    path = request.target.partition("?")[0]
    if request.kind == "queue":
        if "/messages" not in path:
            return "once"
        return "call" if request.method != "GET" or b"<MessageText>" in answer.body else "look"
    if path.endswith("/Tables") or b"TableNotFound" in answer.body:
        return "once"
    return "poll" if f"/{STATE_TABLE}" in path else "call"


@contextmanager
def counted(lab: Lab, account: Account) -> Iterator[tuple[Account, Counted]]:
    """The account as it is reached through the proxies, and what they count."""
    found = Counted()
    queue = HttpProxy(lab.loop, "queue", account.queue_port, found.treat, None)
    table = HttpProxy(lab.loop, "table", account.table_port, found.treat, None)
    try:
        yield replace(account, queue_port=queue.port.number, table_port=table.port.number), found
    finally:
        queue.port.close()
        table.port.close()


def requests_of_a_call(lab: Lab) -> Iterator[Result]:
    """The whole way, with what the host itself asks of the queue: a backlog, then a poll for each call, then polls that
    find as many as travel alone."""
    calls, singles = lab.sizes.counted, max(2, lab.sizes.counted // 100)
    account, system = lab.new_account(), lab.backlog(calls)
    storage = account.storage

    def settle(rows: int) -> None:
        answer = host.ask("POST", "/trigger/poll")
        answer.raise_for_status()
        wait_until(lambda: storage.depth() == 0, seconds=300)
        if (states := storage.states()) != ["submitted"] * rows:
            raise RuntimeError(f"{rows} calls were to be submitted: {len(states)} records, {set(states)}")

    with counted(lab, account) as (through, found):
        variables = lab.variables(through, system.settings())
        with HostProcess(Path(PROJECT), variables, "--functions", "submit_call", "trigger_poll") as host:
            settle(calls)
            yield _result("storage requests of a call at backlog", found, calls, 0.3)
            last = calls
            for name, at_once in SINGLY.items():
                for _ in range(singles):
                    new = range(last + 1, last + at_once + 1)
                    system.insert(*(make_raw_row(id=number, call_id=f"call-{number}") for number in new))
                    last += at_once
                    settle(last)
                yield _result(name, found, singles * at_once, 5)
    storage.close()


def _result(name: str, found: Counted, calls: int, most: float) -> Result:
    """What was counted since the last one."""
    requests, kinds = found.of["call"], found.kinds
    found.of, found.kinds = Counter(), Counter()
    behind = {"calls": calls} | {kind: count / calls for kind, count in sorted(kinds.items())}
    return Result(name, requests / calls, "", Goal("most", most), behind)
