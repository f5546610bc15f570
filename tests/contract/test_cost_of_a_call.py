"""How many requests storage gets for a call, from the poll's queue message to the settled record."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from azure.core.rest import HttpRequest, HttpResponse

from cdr.calls.call import CallRecord, State
from cdr.edges.storage.account import SETTING, USUAL, StorageAccount
from cdr.edges.storage.ledger_claims import TableCallLedger
from cdr.edges.storage.queue import StorageCallQueue
from cdr.edges.storage.transport import StorageTransport
from cdr.submission.submit import Outcome, submit
from tests.contract.ledgers import KEY, AzuriteBench
from tests.support.factories import make_record
from tests.support.workshop import TIMES, Workshop
from tests.systems.storage import AT_ONCE, Storage


class Meter(StorageTransport):
    """Counts the requests that go through it."""

    def __init__(self) -> None:
        super().__init__(connect_s=USUAL.connect_s, answer_s=USUAL.answer_s)
        self.requests = 0

    def send(self, request: HttpRequest, **options: Any) -> HttpResponse:
        self.requests += 1
        return super().send(request, **options)


@pytest.mark.parametrize(
    ("calls", "at_most"), [(1, 5.0), (500, 0.3)], ids=["a call on a quiet day", "a call of a backlog"]
)
def test_a_call_costs_storage_few_requests(
    storage: Storage, azurite_bench: AzuriteBench, calls: int, at_most: float
) -> None:
    meter = Meter()
    account = StorageAccount({SETTING: storage.connection_string}, AT_ONCE, meter)
    ledger, queue = TableCallLedger(account, azurite_bench.name), StorageCallQueue(account, azurite_bench.name)
    shop = Workshop(ledger=ledger, queue=queue)
    ledger.last_error(KEY)
    queue.depth()
    meter.requests = 0
    records: Sequence[CallRecord] = [make_record(id=n, call_id=f"00000{n:03X}") for n in range(calls)]
    messages = list(TIMES.packing.pack(records))
    queue.send_all(messages)
    outcomes = [outcome for message in messages for outcome in submit(message, shop.worker)]
    assert outcomes == [Outcome.SUBMITTED] * calls
    assert meter.requests / calls <= at_most
    assert azurite_bench.records.count_states().counts == {State.SUBMITTED: calls}
