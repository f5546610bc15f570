"""How many requests storage gets for a call, from the poll's queue message to the settled record."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from cdr.calls.call import CallRecord, State
from cdr.edges.storage.queue import StorageCallQueue
from cdr.submission.submit import Outcome, submit
from tests.contract.ledgers import AzuriteBench
from tests.support.factories import make_message, make_record
from tests.support.workshop import NOON, TIMES, Workshop
from tests.systems.storage import Storage


@pytest.mark.parametrize(
    ("calls", "ids", "at_most"),
    [(1, int, 5.0), (1, "00000000-01dc-9a69-1dbe-96110000{:04x}".format, 3.0), (500, int, 0.3)],
    ids=["a call on a quiet day", "one whose id tells its day", "a call of a backlog"],
)
def test_a_call_costs_storage_few_requests(
    storage: Storage, azurite_bench: AzuriteBench, calls: int, ids: Callable[[int], int | str], at_most: float
) -> None:
    requests: list[int] = []
    storage.line.hear(lambda: requests.append(1))
    ledger, queue = azurite_bench.open(), StorageCallQueue(storage.account, azurite_bench.name)
    shop = Workshop(ledger=ledger, queue=queue)
    submit(make_message(id=ids(999), call_id="the first one of a process in an hour"), shop.worker)
    queue.depth()
    requests.clear()
    records: Sequence[CallRecord] = [make_record(id=ids(n), call_id=f"00000{n:03X}") for n in range(calls)]
    messages = list(TIMES.packing.pack(records))
    queue.send_all(messages)
    outcomes = [outcome for message in messages for outcome in submit(message, shop.worker)]
    assert outcomes == [Outcome.SUBMITTED] * calls
    assert len(requests) / calls <= at_most
    storage.line.hear(None)
    assert azurite_bench.records.counts(NOON).states == {State.SUBMITTED: calls + 1}
