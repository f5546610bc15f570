"""What the table's counters and notes say of the ledger is what its records say, whatever fails in between; and reading
them costs the same however much there is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from cdr.calls.call import UNDATED, CallKey, Job, Reason, Settlement, State
from cdr.calls.message import Message
from cdr.edges.storage.ledger_claims import TableCallLedger
from cdr.edges.storage.ledger_records import TableLedgerRecords
from cdr.edges.storage.ledger_tally import counts_in, counts_of, is_counter, total
from cdr.operations.ports import HourCount, LedgerCounts, LedgerRecords
from cdr.operations.rejected import list_rejected
from cdr.submission.ports import CallLedger, Claim
from shared.errors import StorageUnavailable
from tests.contract.ledgers import DAY, KEY, LEASE, NOW, REJECTED, SKIPPED, SUBMITTED, AzuriteBench, claimed, make_job
from tests.support.factories import make_message
from tests.systems.storage import NEVER_AGAIN, Fault, Line, Storage

HOUR = timedelta(hours=1)
LONG_AFTER = NOW + 2 * HOUR
UNMAPPED = Settlement(State.REJECTED, Reason.UNMAPPED_EXTENSION, "no address", extension="102")


def forever() -> bool:
    return True


def ended(job: Job, hour: int) -> Job:
    return Job(job.record, CallKey(job.key.day, job.key.name, datetime(2026, 11, 20, hour, 30, tzinfo=UTC)))


def in_hours(found: LedgerCounts) -> list[HourCount]:
    """Those in which there was something."""
    return [each for each in found.hours if each != HourCount(each.hour)]


def check(storage: Storage, name: str) -> None:
    """Hold counters and notes against the records themselves."""
    found = TableLedgerRecords(storage.account, name)
    found.counts(NOW)  # the tables are there, whatever failed
    entities = list(storage.plain_table(name).list_entities())
    records = [entity for entity in entities if not is_counter(entity)]
    counted = total(counts_in(entity["counts"]) for entity in entities if is_counter(entity))
    assert counted == total(counts_of(record.get("counted") or "") for record in records)
    settled = [record for record in records if record["state"] != "claimed"]
    assert [record["counted"].split()[1] for record in settled] == [record["state"] for record in settled]
    noted = [call.key.name for call in found.rejected() if found.still_rejected(call)]
    assert sorted(noted) == sorted(record["RowKey"] for record in settled if record["state"] == "rejected")


# Counted by the hour


def test_calls_are_counted_in_the_hour_of_their_end_and_those_without_one_in_that_of_their_settlement(
    azurite_bench: AzuriteBench,
) -> None:
    ledger, records = azurite_bench.open(), azurite_bench.records
    for n, (hour, settlement) in enumerate([(7, SUBMITTED), (7, SUBMITTED), (7, SKIPPED), (8, REJECTED)]):
        ledger.settle([(claimed(ledger, ended(make_job(n), hour)), settlement)], NOW)
    ledger.record(CallKey(UNDATED, "garbage"), None, REJECTED, NOW)
    claimed(ledger, ended(make_job(9), 8))
    found = records.counts(NOW)
    assert in_hours(found) == [
        HourCount(NOW.replace(hour=7, minute=0, microsecond=0), submitted=2, skipped=1),
        HourCount(NOW.replace(hour=8, minute=0, microsecond=0), rejected=1),
        HourCount(NOW.replace(hour=9, minute=0, microsecond=0), rejected=1),
    ]
    assert (found.states, found.rejected) == (Counter(submitted=2, skipped=1, rejected=2), {"invalid_row": 2})
    assert in_hours(records.counts(NOW + 30 * HOUR)) == []


def test_a_call_counts_once_whatever_becomes_of_it(azurite_bench: AzuriteBench) -> None:
    ledger, records, job = azurite_bench.open(), azurite_bench.records, ended(make_job(), 8)
    hour = NOW.replace(hour=8, minute=0, microsecond=0)
    ledger.settle([(claimed(ledger, job), REJECTED)], NOW)
    again = claimed(ledger, replace(job, key=CallKey(DAY, job.key.name)))  # as a replay knows it
    assert in_hours(records.counts(NOW)) == [HourCount(hour, rejected=1)], "until it is settled anew"
    ledger.give_back([(again, "503")], NOW)
    ledger.settle([(claimed(ledger, job, LONG_AFTER), UNMAPPED)], LONG_AFTER)
    assert records.counts(NOW).rejected == {"unmapped_extension": 1}
    ledger.settle([(claimed(ledger, job, LONG_AFTER), SUBMITTED)], LONG_AFTER)
    ledger.settle([(again, SUBMITTED)], LONG_AFTER)  # by a worker who has long lost it
    assert in_hours(records.counts(NOW)) == [HourCount(hour, submitted=1)]
    assert list(records.rejected()) == []


def test_workers_who_settle_at_once_count_every_call(storage: Storage, azurite_bench: AzuriteBench) -> None:
    ledgers = [azurite_bench.open() for _ in range(2)]

    def work(n: int) -> None:
        ledger = ledgers[n % 2]
        ledger.settle([(claimed(ledger, make_job(n)), (SUBMITTED, SKIPPED, REJECTED)[n % 3])], NOW)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(60)))
    assert azurite_bench.records.counts(NOW).states == Counter(submitted=20, skipped=20, rejected=20)
    check(storage, azurite_bench.name)


STEPS: dict[str, Callable[[CallLedger, LedgerRecords, Sequence[Job], datetime], object]] = {
    "work": lambda ledger, _, jobs, now: ledger.settle(
        list(zip(claims_of(ledger, jobs, now), (SUBMITTED, UNMAPPED, SKIPPED), strict=False)), now
    ),
    "reject": lambda ledger, _, jobs, now: ledger.settle(
        [(claim, REJECTED) for claim in claims_of(ledger, jobs, now)], now
    ),
    "let go": lambda ledger, _, jobs, now: claims_of(ledger, jobs, now),
    "give back": lambda ledger, _, jobs, now: ledger.give_back(
        [(claim, "503") for claim in claims_of(ledger, jobs, now)], now
    ),
    "record": lambda ledger, _, jobs, now: [
        ledger.record(job.key, Message((job.record,)), REJECTED, now) for job in jobs
    ],
    "remove": lambda _, records, __, now: list(records.remove_settled(now - HOUR, now - HOUR, now)),
    "sum up": lambda _, records, __, now: records.sum_up(None, now, forever),
}
FAULTS: Sequence[Fault] = ("sound", "not sent", "answer lost", "answered 503")


def claims_of(ledger: CallLedger, jobs: Sequence[Job], now: datetime) -> list[Claim]:
    return [answer for answer in ledger.claim(jobs, now, LEASE) if isinstance(answer, Claim)]


@settings(
    max_examples=20,
    deadline=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(sorted(STEPS)),
            st.lists(st.integers(1, 4), min_size=1, max_size=3, unique=True),
            st.sampled_from(["POST", "PATCH", "GET"]),
            st.lists(st.sampled_from(FAULTS), max_size=4),
        ),
        min_size=2,
        max_size=8,
    )
)
def test_counters_and_notes_are_right_whatever_requests_fail(
    storage: Storage, line: Line, steps: list[tuple[str, list[int], str, list[Fault]]]
) -> None:
    name, now = storage.new_name(), NOW
    workers = [TableCallLedger(storage.account_with(NEVER_AGAIN), name) for _ in range(2)]
    records = TableLedgerRecords(storage.account_with(NEVER_AGAIN), name)
    for n, (step, rows, method, faults) in enumerate(steps):
        now += LEASE
        line.fail_next(method, *faults)
        jobs = [make_job(row, f"call-{row // 2}") for row in rows]  # some rows are of one call
        with suppress(StorageUnavailable):
            STEPS[step](workers[n % 2], records, jobs, now)
        line.forget()
    check(storage, name)


def test_many_counters_of_a_day_become_one_and_who_had_one_counts_on(
    storage: Storage, azurite_bench: AzuriteBench
) -> None:
    def counters() -> int:
        return sum(map(is_counter, storage.plain_table(azurite_bench.name).list_entities()))

    workers = [azurite_bench.open() for _ in range(55)]
    for n, worker in enumerate(workers):
        worker.record(make_job(n).key, None, SKIPPED, NOW)
    assert counters() == 55
    azurite_bench.records.sum_up(None, LONG_AFTER, forever)
    assert counters() == 1
    assert azurite_bench.records.counts(LONG_AFTER + 100 * HOUR).states == {State.SKIPPED: 55}, "from the day's sum"
    workers[0].record(make_job(99).key, None, SKIPPED, LONG_AFTER)
    assert azurite_bench.records.counts(LONG_AFTER).states == {State.SKIPPED: 56}
    sum(azurite_bench.records.remove_settled(LONG_AFTER + HOUR, LONG_AFTER, LONG_AFTER))
    azurite_bench.records.sum_up(None, LONG_AFTER + 2 * HOUR, forever)
    assert list(storage.plain_table(azurite_bench.name).list_entities()) == [], "nothing is left of the day"


def test_of_more_days_than_are_read_those_that_are_not_summed_up_yet_are_left_out_and_that_is_said(
    azurite_bench: AzuriteBench,
) -> None:
    ledger, records = azurite_bench.open(), azurite_bench.records
    for day in range(1, 9):
        ledger.record(CallKey(f"2026-10-{day:02}", "call"), None, SKIPPED, NOW + timedelta(seconds=day))
    found = records.counts(NOW)
    assert (found.complete, found.states) == (False, {State.SKIPPED: 5})
    records.sum_up(None, NOW, forever)
    found = records.counts(NOW)
    assert (found.complete, found.states) == (False, {State.SKIPPED: 8}), "there may be more on the older ones by now"
    records.sum_up(None, LONG_AFTER, forever)
    found = records.counts(LONG_AFTER)
    assert (found.complete, found.states) == (True, {State.SKIPPED: 8})


# What earlier versions wrote


def as_of_1_0_0(key: CallKey, state: str, reason: str, settled_at: datetime = NOW) -> dict[str, Any]:
    address = {"PartitionKey": key.day, "RowKey": key.name}
    told = {"state": state, "reason": reason, "detail": "", "settled_at": settled_at, "row_id": "7", "attempts": 1}
    return {**address, **told, "row_0": make_message().to_text()}


@pytest.fixture
def old_ledger(storage: Storage, azurite_bench: AzuriteBench) -> str:
    """Three calls a day."""
    storage.plain_table(azurite_bench.name).create_table()
    for day in (DAY, "2026-11-21", UNDATED):
        for state, reason in (("submitted", "created"), ("skipped", "unanswered"), ("rejected", "gave_up")):
            storage.plain_table(azurite_bench.name).upsert_entity(
                as_of_1_0_0(CallKey(day, f"{state} {day}"), state, reason)
            )
    return azurite_bench.name


def test_what_an_earlier_version_wrote_is_taken_in_once_in_steps(
    storage: Storage, azurite_bench: AzuriteBench, old_ledger: str
) -> None:
    records = azurite_bench.records
    assert (records.are_all_noted(), records.counts(NOW).complete) == (False, False)
    steps = [records.sum_up(None, NOW, lambda: False) for _ in range(4)]
    assert steps == [False, False, False, True]
    found = records.counts(NOW)
    assert (found.complete, found.states) == (True, Counter(submitted=3, skipped=3, rejected=3))
    (first, *_) = list_rejected(records, after=None, limit=9).calls
    assert first.letter == make_message()
    check(storage, old_ledger)
    storage.plain_table(old_ledger).upsert_entity(as_of_1_0_0(CallKey(DAY, "later"), "rejected", "gave_up"))
    assert records.sum_up(NOW - HOUR, LONG_AFTER, forever)
    assert len(list(records.rejected())) == 3, "nobody of old has been there since"


def test_what_it_writes_after_a_roll_back_is_taken_in_too(
    storage: Storage, azurite_bench: AzuriteBench, old_ledger: str
) -> None:
    ledger, records = azurite_bench.open(), azurite_bench.records
    ledger.settle([(claimed(ledger), UNMAPPED)], NOW)
    ledger.record(CallKey(DAY, "call-8"), make_message(), REJECTED, NOW)
    records.sum_up(None, NOW, forever)
    storage.plain_table(old_ledger).upsert_entity(as_of_1_0_0(KEY, "submitted", "created"))
    storage.plain_table(old_ledger).upsert_entity(
        as_of_1_0_0(CallKey(DAY, "call-8"), "rejected", "invalid_row", settled_at=LONG_AFTER)
    )
    assert records.sum_up(NOW + HOUR, LONG_AFTER, forever)
    check(storage, old_ledger)
    assert records.counts(NOW).states == Counter(submitted=4, skipped=3, rejected=4)


def test_a_call_that_is_worked_on_while_it_is_taken_in_counts_once(
    storage: Storage, azurite_bench: AzuriteBench, old_ledger: str
) -> None:
    ledger = azurite_bench.open()
    job = make_job(7, f"rejected {DAY}")
    storage.line.interrupt_next("PATCH", lambda: ledger.settle([(claimed(ledger, job), SUBMITTED)], NOW))
    assert azurite_bench.records.sum_up(None, NOW, forever)
    check(storage, old_ledger)
    assert azurite_bench.records.counts(NOW).states == Counter(submitted=4, skipped=3, rejected=2)


# Cost


def fill(storage: Storage, name: str, rows: range, now: datetime) -> None:
    """By an earlier version, whose calls are taken in."""
    table = storage.plain_table(name)
    for first in range(rows.start, rows.stop, 100):
        keys = [CallKey(DAY, f"call-{n}") for n in range(first, min(first + 100, rows.stop))]
        some = [as_of_1_0_0(key, "rejected", "invalid_row") for key in keys]
        table.submit_transaction([("upsert", entity) for entity in some])
    assert TableLedgerRecords(storage.account, name).sum_up(now, now + HOUR, forever)


def test_looking_costs_the_same_however_much_is_in_the_ledger(storage: Storage, azurite_bench: AzuriteBench) -> None:
    records = azurite_bench.records
    records.counts(NOW)  # the tables are there
    asked: list[object] = []

    def cost(look: Callable[[], object]) -> int:
        asked.clear()
        look()
        return len(asked)

    def costs() -> list[int]:
        looks: Sequence[Callable[[], Any]] = (
            lambda: records.counts(NOW),
            lambda: list_rejected(records, after=None, limit=20),
            lambda: list_rejected(records, after=None, limit=20, reason="invalid_row"),
            lambda: list(records.rejected("gave_up")),
            lambda: list(records.rejected_as("call-7")),
            lambda: list(records.named(DAY, "call-7")),
        )
        return [cost(look) for look in looks]

    storage.line.hear(lambda: asked.append(1))
    fill(storage, azurite_bench.name, range(60), NOW)
    few = costs()
    fill(storage, azurite_bench.name, range(60, 1_060), NOW + 2 * HOUR)
    assert costs() == few
    assert records.counts(NOW).rejected == {"invalid_row": 1_060}
    storage.line.hear(None)
