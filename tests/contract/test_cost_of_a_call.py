"""How many requests storage gets for a call, from the poll's queue message to the settled record, and for a day's calls
when they are reconciled."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta

import pytest

from cdr.calls.call import CallRecord, State
from cdr.edges.storage.queue import StorageCallQueue
from cdr.intake.id_order.position import IdPosition, to_text
from cdr.intake.ports import StoredPosition
from cdr.operations.reconcile import Reconciler, reconcile
from cdr.submission.submit import Outcome, submit
from tests.contract.ledgers import AzuriteBench
from tests.fakes.clock import HandMovedClock
from tests.fakes.positions import InMemoryPositionStore
from tests.fakes.row_table import InMemoryCallLog, InMemoryRowTable
from tests.support.factories import make_message, make_raw_row, make_record
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


def test_to_reconcile_a_day_storage_is_asked_for_its_records_once_and_for_the_depth_of_the_queue(
    storage: Storage, azurite_bench: AzuriteBench
) -> None:
    clock, rows = HandMovedClock(NOON), [make_raw_row(id=n, call_id=f"call-{n}") for n in range(1, 101)]
    ledger, queue = azurite_bench.open(), StorageCallQueue(storage.account, azurite_bench.name)
    shop = Workshop(ledger=ledger, queue=queue)
    records = [make_record(**row) for row in rows]
    assert sum(len(submit(message, shop.worker)) for message in TIMES.packing.pack(records)) == len(rows)
    positions = InMemoryPositionStore()
    positions.stored = StoredPosition("calllog", to_text(IdPosition(len(rows))))
    reconciler = Reconciler(
        source=InMemoryCallLog(InMemoryRowTable(rows), clock),
        positions=positions,
        records=azurite_bench.records,
        queue=queue,
        clock=clock,
        rules=shop.worker.rules,
        stalled_after=TIMES.stalled_after,
        keep=timedelta(days=90),
        time_budget=timedelta(minutes=2),
        packing=TIMES.packing,
    )
    reconcile(reconciler, NOON.date(), NOON.date())  # the first of a process makes sure of its table
    requests: list[int] = []
    storage.line.hear(lambda: requests.append(1))
    found = reconcile(reconciler, NOON.date(), NOON.date())
    storage.line.hear(None)
    assert (found.recorded, found.missing, found.only_in_ledger) == (len(rows), 0, 0)
    assert len(requests) == 2
