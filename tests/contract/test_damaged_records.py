"""Records of the ledger that somebody has edited by hand, in Azurite: no work ends on them."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest

from cdr.calls.call import State
from cdr.calls.message import Message
from cdr.edges.storage.rejected_index import index_of
from cdr.edges.storage.table import escape_key
from cdr.submission.ports import Claim, Held
from tests.contract.ledgers import DAY, KEY, LEASE, NOW, REJECTED, SUBMITTED, AzuriteBench, make_job
from tests.systems.storage import Storage

FAR = timedelta(days=36_500)

DAMAGES: dict[str, dict[str, Any]] = {
    "nothing in it": {},
    "no state": {"state": None, "row_id": 7, "call": 5},
    "a number for a state": {"state": 5, "attempts": "x"},
    "a claim without an end": {"state": "claimed"},
    "a claim with a text for an end": {"state": "claimed", "claimed_until": "x", "attempts": "x"},
    "a claim after as many attempts as a number holds": {
        "state": "claimed",
        "claimed_until": NOW - LEASE,
        "attempts": 2**31 - 1,
    },
    "a rejection without anything": {"state": "rejected"},
    "a rejection with numbers": {"state": "rejected", "reason": 5, "detail": 7, "settled_at": "x", "row_0": 5},
}


@pytest.mark.parametrize("fields", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_record_ends_no_work_and_its_call_is_claimed_in_the_end(
    storage: Storage, azurite_bench: AzuriteBench, fields: dict[str, Any]
) -> None:
    ledger, records = azurite_bench.open(), azurite_bench.records
    ledger.last_error(KEY)  # so that the table is there
    table = storage.plain_table(azurite_bench.name)
    table.create_entity({"PartitionKey": DAY, "RowKey": escape_key(KEY.name), **fields})

    assert [entry.key for entry in records.entries(DAY)] == [KEY]
    assert [kept.key for kept in records.named(DAY, KEY.name)] == [KEY]
    records.counts(NOW)
    records.mark_replayed(KEY, NOW)
    assert records.sum_up(None, NOW, lambda: True)
    assert {call.key for call in records.rejected()} <= {KEY}

    late = datetime.fromisoformat("2126-01-01T00:00:00+00:00")
    together = ledger.claim([make_job(), make_job(8, "call-8")], NOW, LEASE)
    assert isinstance(together[0], Claim | Held)
    assert isinstance(together[1], Claim)
    (claim,) = ledger.claim([make_job()], late, LEASE)
    assert isinstance(claim, Claim)
    ledger.give_back([(claim, "why")], late)
    (claim,) = ledger.claim([make_job()], late, LEASE)
    ledger.settle([(claim, SUBMITTED)], late)
    assert azurite_bench.record().state is State.SUBMITTED
    sum(records.remove_settled(late + FAR, late + FAR, late + FAR))


def test_what_the_host_gave_up_on_is_recorded_over_a_damaged_record(
    storage: Storage, azurite_bench: AzuriteBench
) -> None:
    ledger = azurite_bench.open()
    ledger.last_error(KEY)
    storage.plain_table(azurite_bench.name).create_entity({"PartitionKey": DAY, "RowKey": escape_key(KEY.name)})
    ledger.record(KEY, Message((make_job().record,)), REJECTED, NOW)
    assert azurite_bench.records.entry(KEY).state == State.REJECTED


def test_a_note_of_a_rejected_call_that_is_damaged_or_gone_says_nothing_and_hides_no_other(
    storage: Storage, azurite_bench: AzuriteBench
) -> None:
    ledger, jobs = azurite_bench.open(), [make_job(n) for n in range(4)]
    for job in jobs:
        ledger.record(job.key, None, REJECTED, NOW)
    notes = storage.plain_table(index_of(azurite_bench.name))
    for number, damage in ((0, {"rejected_at": "x"}), (1, {"name": ""}), (2, None)):
        for row in list(notes.query_entities(f"name eq '{jobs[number].key.name}'")):
            notes.upsert_entity(row | damage) if damage else notes.delete_entity(row)
    assert [call.key for call in azurite_bench.records.rejected()] == [jobs[3].key]
    claims = [claim for claim in ledger.claim(jobs, NOW, LEASE) if isinstance(claim, Claim)]
    ledger.settle([(claim, SUBMITTED) for claim in claims], NOW)
    assert list(notes.query_entities(f"name eq '{jobs[3].key.name}'")) == [], "of those together one was gone"
