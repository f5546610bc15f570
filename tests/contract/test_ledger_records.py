"""What operators can ask of every ledger: the fake, and a table in Azurite."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from cdr.calls.call import UNDATED, CallKey, Job, Reason, Settlement, State
from cdr.calls.fingerprint import facts, fingerprint
from cdr.calls.message import Message, Unreadable
from cdr.operations.ports import (
    HourCount,
    KeptCall,
    LedgerCounts,
    LedgerEntry,
    LedgerRecords,
    RejectedCall,
    RejectedRecord,
    hours_until,
)
from cdr.submission.ports import CallLedger
from tests.contract.ledgers import (
    DAY,
    EXPIRED,
    KEY,
    LATER,
    LEASE,
    NOW,
    REJECTED,
    SKIPPED,
    SUBMITTED,
    AzuriteBench,
    Bench,
    claimed,
    make_job,
)
from tests.support.events import Events

GARBAGE = Unreadable("no JSON", "the message is not JSON")


@pytest.fixture
def records(bench: Bench) -> LedgerRecords:
    return bench.records


# Counting and finding


def test_calls_are_counted_by_state_and_by_reason_over_all_days(ledger: CallLedger, records: LedgerRecords) -> None:
    for number, day in enumerate(("2019-01-01", f"{datetime.now(UTC):%Y-%m-%d}", "2099-12-31", UNDATED)):
        for settlement in (SUBMITTED, SKIPPED, REJECTED)[: number or 3]:
            ledger.settle([(claimed(ledger, make_job(1, settlement.reason, day)), settlement)], NOW)
        claimed(ledger, make_job(1, "under way", day))
    counted = records.counts(NOW)
    assert counted.complete
    assert counted.states == {State.SUBMITTED: 4, State.SKIPPED: 3, State.REJECTED: 2}
    assert counted.rejected == {"invalid_row": 2}


def test_an_empty_ledger_has_nothing_to_tell(records: LedgerRecords) -> None:
    assert records.counts(NOW) == LedgerCounts({}, {}, [HourCount(hour) for hour in hours_until(NOW)])
    assert [*records.rejected(), *records.rejected_as("call-7")] == []
    assert (list(records.entries(DAY)), records.entry(KEY)) == ([], None)
    assert [*records.named(DAY, "call-7"), *records.of_row(DAY, "7"), *records.of_extension(DAY, "101")] == []


def test_a_rejected_call_tells_the_extension_that_has_no_address_until_it_is_settled_otherwise(
    bench: Bench, ledger: CallLedger, records: LedgerRecords
) -> None:
    unmapped = Settlement(State.REJECTED, Reason.UNMAPPED_EXTENSION, "no address", extension="0102")
    ledger.settle([(claimed(ledger), unmapped)], NOW)
    assert [rejected.extension for rejected in records.rejected()] == ["0102"]
    ledger.settle([(claimed(ledger, now=LATER), REJECTED)], NOW)
    assert [rejected.extension for rejected in records.rejected()] == [None]
    assert bench.record().reason == REJECTED.reason


def test_rejected_calls_are_listed_with_their_reasons_and_messages_the_newest_first(
    ledger: CallLedger, records: LedgerRecords
) -> None:
    other = CallKey(UNDATED, "message-1/2")
    ledger.settle([(claimed(ledger), REJECTED)], NOW)
    ledger.record(other, GARBAGE, Settlement(State.REJECTED, Reason.INVALID_MESSAGE), LATER)
    ledger.settle([(claimed(ledger, make_job(8)), SKIPPED)], NOW)
    newest, oldest = (
        RejectedCall(other, "invalid_message", "", LATER, None),
        RejectedCall(KEY, "invalid_row", "ended_at: missing", NOW, None),
    )
    assert list(records.rejected()) == [newest, oldest]
    assert list(records.rejected("invalid_row")) == [oldest]
    assert list(records.rejected(after=newest.place)) == [oldest]
    assert list(records.rejected_as("message-1/2")) == [newest]
    assert records.still_rejected(oldest) == RejectedRecord(oldest, Message((make_job().record,)))
    assert records.still_rejected(newest) == RejectedRecord(newest, GARBAGE)


def test_a_call_that_was_settled_otherwise_since_is_not_rejected_any_more(
    ledger: CallLedger, records: LedgerRecords
) -> None:
    ledger.settle([(claimed(ledger), REJECTED)], NOW)
    (noted,) = records.rejected()
    again = claimed(ledger, now=LATER)
    assert records.still_rejected(noted) is None
    ledger.settle([(again, REJECTED)], EXPIRED)
    assert records.still_rejected(noted) is None
    assert [call.settled_at for call in records.rejected() if records.still_rejected(call)] == [EXPIRED]


def test_a_call_is_found_by_its_name_its_row_and_its_extension_with_all_that_is_kept_of_it(
    ledger: CallLedger, records: LedgerRecords
) -> None:
    first, second, other = make_job(7, "a/b's"), make_job(8, "a/b's"), make_job(9, "a/b's friend", extension="102")
    claim = claimed(ledger, first)
    ledger.settle([(claimed(ledger, second, EXPIRED), SUBMITTED)], EXPIRED)
    ledger.settle([(claim, SKIPPED)], EXPIRED)
    ledger.give_back([(claimed(ledger, other), "ApiUnavailable: 503")], LATER)
    mine = KeptCall(second.key, "8", "submitted", "created", "", "101", 2, NOW, settled_at=EXPIRED, entry_id="a1b2")
    own = CallKey(DAY, "a/b's row-7")
    kept = {call.key: call for call in records.named(DAY, "a/b's")}
    assert kept.keys() == {mine.key, own}
    assert kept[mine.key] == mine
    assert (kept[own].record_id, kept[own].state, kept[own].reason) == ("7", "skipped", "unanswered")
    (waits,) = records.of_row(DAY, "9")
    assert (waits.key, waits.claimed_until, waits.last_error) == (other.key, LATER, "ApiUnavailable: 503")
    assert waits.letter == Message((other.record,))
    assert list(records.of_extension(DAY, "102")) == [waits]
    assert list(records.of_extension("2026-11-21", "102")) == []


def test_what_is_known_of_a_days_calls_is_found_by_the_day_and_by_the_call(
    ledger: CallLedger, records: LedgerRecords
) -> None:
    jobs = [make_job(n, f"call/{n}") for n in (1, 2, 3, 4)]
    elsewhere = [make_job(5, day="2026-11-19"), make_job(6, day=UNDATED)]
    for job in (*jobs[:3], *elsewhere):
        claimed(ledger, job)
    ledger.give_back([(claimed(ledger, jobs[0], EXPIRED), "why")], LATER)
    ledger.settle([(claimed(ledger, jobs[1], EXPIRED), SUBMITTED)], LATER)
    ledger.record(jobs[3].key, Message((jobs[3].record,)), REJECTED, LATER)
    ledger.record(CallKey(UNDATED, "garbage"), GARBAGE, REJECTED, NOW)

    def entry(job: Job, state: State, reason: str = "", until: datetime | None = None) -> LedgerEntry:
        marks = fingerprint(job.record), facts(job.record)
        return LedgerEntry(job.key, job.record.id, state, reason, *marks, until)

    known = [
        entry(jobs[0], State.CLAIMED, until=LATER),
        entry(jobs[1], State.SUBMITTED, "created"),
        entry(jobs[2], State.CLAIMED, until=EXPIRED),
        entry(jobs[3], State.REJECTED, "invalid_row"),
    ]
    assert sorted(records.entries(DAY), key=lambda found: found.key.name) == known
    assert list(records.entries(DAY, State.REJECTED)) == known[3:]
    assert [records.entry(job.key) for job in jobs] == known
    assert {found.record_id for found in records.entries(UNDATED)} == {"6", None}


def test_of_a_call_that_ended_on_another_day_than_it_stands_under_that_is_known(
    ledger: CallLedger, records: LedgerRecords
) -> None:
    over_midnight = CallKey(DAY, "call-7", datetime.fromisoformat("2026-11-21T00:10Z"), is_lasting=True)
    ledger.settle([(claimed(ledger, replace(make_job(7), key=over_midnight)), SUBMITTED)], NOW)
    assert [(found.key.day, found.ended_on) for found in records.entries(DAY)] == [(DAY, "2026-11-21")]


def test_a_call_that_is_claimed_once_more_is_known_by_its_newest_record(
    ledger: CallLedger, records: LedgerRecords
) -> None:
    ledger.settle([(claimed(ledger, make_job(answered=False)), SKIPPED)], NOW)
    before = records.entry(KEY)
    claimed(ledger, make_job())
    after = records.entry(KEY)
    assert before is not None
    assert after is not None
    assert (before.call == after.call, before.facts == after.facts) == (True, False)


# Replays


def test_a_rejected_call_that_is_replayed_says_when_and_stays_rejected(bench: Bench, ledger: CallLedger) -> None:
    ledger.settle([(claimed(ledger), REJECTED)], NOW)
    before = bench.record()
    bench.records.mark_replayed(KEY, LATER)
    assert bench.record() == replace(before, replayed_at=LATER)


def test_marking_a_call_that_is_gone_as_replayed_is_no_error(bench: Bench) -> None:
    bench.records.mark_replayed(KEY, NOW)
    assert bench.record() is None


# Removing what is old


def test_records_that_were_settled_long_ago_are_removed_and_claims_never(bench: Bench, ledger: CallLedger) -> None:
    def settled(number: int, settlement: Settlement | None, days_ago: int, day: str | None = None) -> CallKey:
        then = NOW - timedelta(days=days_ago)
        job = make_job(number, day=day or f"{then:%Y-%m-%d}")
        claim = claimed(ledger, job, then)
        if settlement:
            ledger.settle([(claim, settlement)], then)
        return job.key

    old = {
        settled(1, SUBMITTED, 91),
        settled(2, SKIPPED, 91),
        settled(3, SKIPPED, 91, UNDATED),
        settled(4, REJECTED, 366),
    }
    young = {
        settled(5, SUBMITTED, 89),
        settled(6, SKIPPED, 89, UNDATED),
        settled(7, REJECTED, 364),
        settled(8, None, 400),
    }
    before, rejected_before = NOW - timedelta(days=90), NOW - timedelta(days=365)
    assert sum(bench.records.remove_settled(before, rejected_before, NOW)) == len(old)
    assert {key for key in old | young if bench.record(key)} == young
    assert sum(bench.records.remove_settled(before, rejected_before, NOW)) == 0


def test_hundreds_of_records_of_one_day_are_removed_in_steps(ledger: CallLedger, records: LedgerRecords) -> None:
    for n in range(0, 230, 100):
        jobs = [make_job(i, day="2026-01-01") for i in range(n, min(n + 100, 230))]
        for claim in ledger.claim(jobs, NOW - timedelta(days=300), LEASE):
            ledger.settle([(claim, SKIPPED)], NOW - timedelta(days=300))
    steps = records.remove_settled(NOW, NOW, NOW)
    assert 0 < next(steps) < 230
    assert records.counts(NOW).states[State.SKIPPED] > 0
    sum(steps)
    assert records.counts(NOW).states.get(State.SKIPPED, 0) == 0


def test_a_batch_of_which_one_record_is_claimed_meanwhile_waits_for_the_next_time(
    azurite_bench: AzuriteBench, events: Events
) -> None:
    ledger, then = azurite_bench.open(), NOW - timedelta(days=300)
    jobs = [make_job(n, day="2026-01-01") for n in range(100, 210)]
    for job in jobs:
        ledger.record(job.key, None, REJECTED, then)
    steps = azurite_bench.records.remove_settled(NOW, NOW, NOW)
    assert next(steps) == 99
    claim = claimed(ledger, next(job for job in jobs if azurite_bench.record(job.key)))
    assert list(steps) == [0]
    assert events.only("ledger.kept").items() >= {"level": "WARNING", "day": "2026-01-01", "records": 11}.items()
    ledger.settle([(claim, SKIPPED)], NOW)
    assert azurite_bench.record(claim.key).state is State.SKIPPED
