"""What every CallLedger does: the fake, and a table in Azurite."""

from __future__ import annotations

import random
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from azure.core.rest import HttpRequest, HttpResponse

from cdr.calls.call import COLUMNS, UNDATED, CallKey, Job, Reason, Settlement, State
from cdr.calls.message import Message, Unreadable
from cdr.calls.rules import row_key
from cdr.edges.azure_transport import AzureTransport
from cdr.edges.storage.account import SETTING, USUAL, StorageAccount
from cdr.edges.storage.ledger_claims import TableCallLedger
from cdr.submission.joined_ledger import JoinedLedger
from cdr.submission.ports import AlreadySubmitted, CallLedger, Claim, Held, Recorded
from shared.errors import StorageUnavailable
from tests.contract.ledgers import (
    DAY,
    EXPIRED,
    KEY,
    LATER,
    LEASE,
    MERGED,
    NOW,
    REJECTED,
    SKIPPED,
    SUBMITTED,
    AzuriteBench,
    Bench,
    claimed,
    make_job,
)
from tests.fakes.ledger import LedgerRecord
from tests.systems.storage import AT_ONCE, Fault, Line, Storage

each_unsubmitted = pytest.mark.parametrize("settlement", [SKIPPED, REJECTED], ids=["skipped", "rejected"])


def message_of(job: Job) -> Message:
    return Message((job.record,))


# Claiming


def test_the_first_to_ask_gets_the_claim(bench: Bench, ledger: CallLedger) -> None:
    claim = claimed(ledger)
    assert claim == Claim(KEY, "7", claim.version, attempts=1)
    message = message_of(make_job()).to_text()
    assert bench.record() == LedgerRecord(State.CLAIMED, "7", message, attempts=1, claimed_until=NOW + LEASE)


@pytest.mark.parametrize("now", [NOW, EXPIRED - timedelta(milliseconds=1)], ids=["at once", "a moment before the end"])
def test_a_claim_keeps_all_others_out_until_its_lease_ends(bench: Bench, ledger: CallLedger, now: datetime) -> None:
    claimed(ledger)
    held = Held("another worker has the call until 09:03:00 UTC", EXPIRED)
    assert bench.open().claim([make_job()], now, LEASE) == [held]


def test_a_claim_that_ran_out_goes_to_the_next_who_knows_that_it_may_have_been_sent(
    bench: Bench, ledger: CallLedger
) -> None:
    first, other = claimed(ledger), make_job(8, "call-7")
    second = claimed(bench.open(), other, EXPIRED)
    assert second == Claim(KEY, "8", second.version, attempts=2, unanswered_at=NOW)
    assert second.version != first.version
    record = bench.record()
    assert (record.row_id, record.message) == ("8", message_of(other).to_text())
    third = claimed(ledger, now=EXPIRED + LEASE)
    assert (third.attempts, third.unanswered_at) == (3, EXPIRED)


def test_a_claim_given_back_lets_the_next_in_at_once_who_is_told_why(bench: Bench, ledger: CallLedger) -> None:
    assert ledger.last_error(KEY) is None
    ledger.give_back([(claimed(ledger), "ApiUnavailable: the API answered 503")], LATER)
    assert bench.open().last_error(KEY) == "ApiUnavailable: the API answered 503"
    again = claimed(bench.open(), now=LATER)
    assert again.attempts == 2
    assert again.unanswered_at is None


LOOKS_AT_A_CLAIM: dict[str, Callable[[CallLedger, datetime], Any]] = {
    "alone": lambda ledger, now: ledger.claim([make_job()], now, LEASE)[0],
    "among others": lambda ledger, now: ledger.claim([make_job(9), make_job()], now, LEASE)[1],
    "from the day after": lambda ledger, now: ledger.claim([make_job(day="2026-11-21")], now, LEASE)[0],
    "to record it": lambda ledger, now: ledger.record(KEY, message_of(make_job()), REJECTED, now),
}


@pytest.mark.parametrize("look", LOOKS_AT_A_CLAIM.values(), ids=LOOKS_AT_A_CLAIM)
def test_a_claim_by_a_clock_that_was_a_year_ahead_ends_ten_minutes_after_somebody_has_seen_it(
    bench: Bench, ledger: CallLedger, look: Callable[[CallLedger, datetime], Any]
) -> None:
    claim = claimed(ledger, now=NOW + timedelta(days=365))
    end = NOW + timedelta(minutes=10)
    for now in (NOW, LATER):
        assert look(bench.open(), now).until == end
    assert not isinstance(look(bench.open(), end), Held)
    ledger.settle([(claim, SUBMITTED)], end)
    assert bench.record().state is State.SUBMITTED


def test_what_was_claimed_by_a_clock_that_was_ahead_was_sent_now_at_the_latest(ledger: CallLedger) -> None:
    claimed(ledger, now=NOW + timedelta(minutes=5))
    assert claimed(ledger, now=NOW + timedelta(minutes=8)).unanswered_at == NOW + timedelta(minutes=5)
    claimed(ledger, make_job(8), NOW + timedelta(days=365))
    ledger.claim([make_job(8)], NOW, LEASE)
    assert claimed(ledger, make_job(8), NOW + timedelta(minutes=10)).unanswered_at == NOW + timedelta(minutes=10)


def test_what_may_have_been_sent_is_remembered_beyond_a_claim_that_was_given_back(
    bench: Bench, ledger: CallLedger
) -> None:
    claimed(ledger)
    ledger.give_back([(claimed(ledger, now=EXPIRED), "ApiUnavailable")], EXPIRED)
    assert claimed(bench.open(), now=EXPIRED).unanswered_at == EXPIRED


def test_a_call_that_may_have_been_sent_is_not_closed_for_good(ledger: CallLedger) -> None:
    claimed(ledger)
    assert isinstance(ledger.record(KEY, None, MERGED, EXPIRED), Held)
    assert ledger.record(KEY, message_of(make_job()), REJECTED, EXPIRED) == Recorded()


GAVE_UP = Settlement(State.REJECTED, Reason.GAVE_UP)


@pytest.mark.parametrize("by", ["its worker", "who keeps what the host gave up on"])
def test_nor_is_one_that_was_given_up_until_its_replay_has_found_out(ledger: CallLedger, by: str) -> None:
    """Closed as a part of another call, which then goes out too, it would be in twice."""
    claimed(ledger)
    if by == "its worker":
        ledger.settle([(claimed(ledger, now=EXPIRED), GAVE_UP)], EXPIRED)
    else:
        assert ledger.record(KEY, message_of(make_job()), GAVE_UP, EXPIRED) == Recorded()
    assert isinstance(ledger.record(KEY, None, MERGED, LATER), Held)
    replayed = claimed(ledger, now=LATER)
    assert replayed.unanswered_at is not None
    ledger.settle([(replayed, SUBMITTED)], LATER)
    assert ledger.record(KEY, None, MERGED, LATER) == AlreadySubmitted("7")


@pytest.mark.parametrize("reason", [Reason.GAVE_UP, Reason.REFUSED_BY_API])
def test_one_that_certainly_is_not_in_is_closed_whatever_became_of_it(ledger: CallLedger, reason: Reason) -> None:
    if reason is Reason.REFUSED_BY_API:  # sent before, without an answer; by now the API has answered
        claimed(ledger)
    ledger.settle([(claimed(ledger, now=EXPIRED), Settlement(State.REJECTED, reason))], EXPIRED)
    assert ledger.record(KEY, None, MERGED, LATER) == Recorded()


def test_whoever_lost_the_claim_to_another_row_records_its_end_under_its_own_key(
    bench: Bench, ledger: CallLedger
) -> None:
    lost = claimed(ledger)
    claimed(bench.open(), make_job(8, "call-7"), EXPIRED)
    ledger.settle([(lost, SKIPPED)], LATER)
    own = bench.record(row_key(KEY, "7"))
    assert (own.state, own.row_id, bench.record().state) == (State.SKIPPED, "7", State.CLAIMED)


@pytest.mark.parametrize(
    ("settlement", "answer"),
    [(SUBMITTED, AlreadySubmitted("7")), (MERGED, AlreadySubmitted("7", as_part=True))],
    ids=["submitted", "part of another"],
)
def test_a_call_that_the_api_has_cannot_be_claimed_and_says_which_row_brought_it(
    ledger: CallLedger, settlement: Settlement, answer: AlreadySubmitted
) -> None:
    ledger.settle([(claimed(ledger), settlement)], NOW)
    assert ledger.claim([make_job(8, "call-7")], EXPIRED, LEASE) == [answer]


@each_unsubmitted
def test_a_call_that_did_not_go_to_the_api_can_be_claimed_again_at_once(
    bench: Bench, ledger: CallLedger, settlement: Settlement
) -> None:
    ledger.settle([(claimed(ledger), settlement)], NOW)
    again = claimed(bench.open())
    assert (again.attempts, again.unanswered_at) == (2, None)
    ledger.settle([(again, SUBMITTED)], LATER)
    record = bench.record()
    assert (record.state, record.reason, record.detail, record.entry_id) == (State.SUBMITTED, "created", "", "a1b2")


@each_unsubmitted
@pytest.mark.parametrize("way", ["claimed", "recorded"])
def test_another_rows_reason_stays_under_its_own_key(
    bench: Bench, ledger: CallLedger, settlement: Settlement, way: str
) -> None:
    """Two rows may share a pbxCallId; that the first is not logged must still be found once the second one is."""
    ledger.settle([(claimed(ledger), settlement)], NOW)
    before, other = bench.record(), make_job(8, "call-7")
    if way == "claimed":
        claimed(ledger, other)
    else:
        assert ledger.record(KEY, message_of(other), REJECTED, LATER) == Recorded()
    assert bench.record().row_id == "8"
    assert bench.record(row_key(KEY, "7")) == before
    listed = {call.key for call in bench.records.rejected() if bench.records.still_rejected(call)}
    assert (row_key(KEY, "7") in listed) is (settlement is REJECTED)


def test_of_two_that_claim_at_the_same_moment_one_gets_it(bench: Bench) -> None:
    ledgers = [bench.open(), bench.open()]
    with ThreadPoolExecutor(len(ledgers)) as pool:
        for number in range(10):
            for now in (NOW, EXPIRED):  # an insert, then an update
                job, start = make_job(number), threading.Barrier(len(ledgers))

                def ask(
                    ledger: CallLedger, job: Job = job, now: datetime = now, start: threading.Barrier = start
                ) -> Any:
                    start.wait(10)
                    return ledger.claim([job], now, LEASE)[0]

                claims = [answer for answer in pool.map(ask, ledgers) if isinstance(answer, Claim)]
                assert len(claims) == 1
            ledgers[0].settle([(claims[0], SKIPPED)], now)
            assert bench.record(job.key).state is State.SKIPPED


NAMES = ["a/b", "a\\b", "a#b", "a?b", "a%2fb", "a!2fb", "a!b", "a%b", "a%2Fb", "A/B", "O'Brien", "A+b&c=d"]
NAMES += ["Zoë 漢字 😀", "tab\there", "\x7f\x80", " x ", "x" * 100, "/" * 100]


def test_a_call_of_any_name_has_a_place_of_its_own(bench: Bench, ledger: CallLedger) -> None:
    jobs = [make_job(n, name, day) for n, (name, day) in enumerate((n, d) for n in NAMES for d in (DAY, UNDATED))]
    for job in jobs:
        assert claimed(ledger, job).attempts == 1
    assert [bench.record(job.key).row_id for job in jobs] == [job.record.id for job in jobs]
    ledger.settle([(claimed(ledger, jobs[0], EXPIRED), REJECTED)], EXPIRED)
    assert [rejected.key for rejected in bench.records.rejected()] == [jobs[0].key]


@pytest.mark.parametrize("character", ["x", "漢", "😀", "\x00"])
def test_a_row_of_any_length_that_can_travel_is_kept_whole(bench: Bench, ledger: CallLedger, character: str) -> None:
    job = make_job(**dict.fromkeys(COLUMNS[1:], character * 255))
    ledger.settle([(claimed(ledger, job), REJECTED)], NOW)
    assert bench.letter(KEY) == message_of(job)


@pytest.mark.parametrize("away", [-1, 1])
def test_a_call_whose_day_has_changed_is_still_the_same(bench: Bench, ledger: CallLedger, away: int) -> None:
    """By another time zone, or because its end was corrected over midnight."""
    day = (datetime.fromisoformat(DAY) + timedelta(days=away)).strftime("%Y-%m-%d")
    moved, another = make_job(7, "call-7", day), make_job(7, "call-7", day, call_id="another", started_at=None)
    claim = claimed(ledger)
    (answer,) = bench.open().claim([moved], LATER, LEASE)
    assert isinstance(answer, Held)
    assert answer.until == NOW + LEASE
    ledger.settle([(claim, SUBMITTED)], LATER)
    assert bench.open().claim([moved], EXPIRED, LEASE) == [AlreadySubmitted("7")]
    record = bench.record(moved.key)
    assert record is not None
    assert (record.state, record.reason) == (State.SKIPPED, "same_pbx_call_id")
    claimed(bench.open(), another, EXPIRED)


def test_a_call_is_looked_for_under_the_day_after_also_where_the_day_before_knows_no_more(bench: Bench) -> None:
    """The record of the day before is of a claim that ran out."""
    claimed(bench.open(), make_job(7, "call-7", "2026-11-19"))
    bench.open().settle([(claimed(bench.open(), make_job(7, "call-7", "2026-11-21")), SUBMITTED)], NOW)
    assert bench.open().claim([make_job()], EXPIRED, LEASE) == [AlreadySubmitted("7")]


def test_a_call_whose_day_lasts_is_looked_for_nowhere_else(ledger: CallLedger) -> None:
    claimed(ledger)
    lasting = replace(make_job(7), key=CallKey("2026-11-21", "call-7", is_lasting=True))
    assert lasting.key == make_job(7, day="2026-11-21").key
    claimed(ledger, lasting)


def test_of_two_who_claim_a_call_under_two_days_at_once_not_both_get_it(bench: Bench) -> None:
    jobs = [make_job(7, "call-7", day) for day in (DAY, "2026-11-21")]
    start = threading.Barrier(2)

    def claim(job: Job) -> object:
        ledger = bench.open()
        start.wait(10)
        return ledger.claim([job], NOW, LEASE)[0]

    with ThreadPoolExecutor(2) as pool:
        assert sum(isinstance(answer, Claim) for answer in pool.map(claim, jobs)) <= 1


@pytest.mark.parametrize("seed", range(3))
def test_of_many_who_claim_calls_under_two_days_at_once_none_gets_what_another_has(bench: Bench, seed: int) -> None:
    """In two processes, each of which asks together for what its threads want."""
    processes, rng = [JoinedLedger(bench.open()) for _ in range(2)], random.Random(seed)
    asked = [(rng.choice(processes), make_job(n % 5, day=rng.choice([DAY, "2026-11-21"]))) for n in range(40)]
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda each: each[0].claim([each[1]], NOW, LEASE)[0], asked))
    in_hand = Counter(answer.key.name for answer in answers if isinstance(answer, Claim))
    assert set(in_hand.values()) <= {1}, in_hand


# Several at once


def test_one_call_that_is_asked_for_under_two_days_together_is_one_claim(ledger: CallLedger) -> None:
    for away, days in enumerate([(DAY, "2026-11-21"), ("2026-11-21", DAY)]):
        answers = ledger.claim([make_job(away, day=day) for day in days], NOW, LEASE)
        assert [type(answer) for answer in answers] == [Claim, Held]


def several_claimed(ledger: CallLedger, jobs: Sequence[Job], now: datetime = NOW) -> list[Claim]:
    claims = [answer for answer in ledger.claim(jobs, now, LEASE) if isinstance(answer, Claim)]
    assert [claim.key for claim in claims] == [job.key for job in jobs]
    return claims


def test_several_are_claimed_settled_and_given_back_together(bench: Bench, ledger: CallLedger) -> None:
    jobs = [make_job(n, day=DAY if n < 4 else "2026-11-21") for n in range(6)]
    claims = several_claimed(ledger, jobs)
    assert {claim.attempts for claim in claims} == {1}
    ledger.settle(list(zip(claims[:4], (SUBMITTED, REJECTED, SKIPPED, SUBMITTED), strict=True)), NOW)
    ledger.give_back([(claim, f"why {claim.key.name}") for claim in claims[4:]], LATER)
    found = [bench.record(job.key) for job in jobs]
    assert [record.state.value for record in found[:4]] == ["submitted", "rejected", "skipped", "submitted"]
    assert [record.row_id for record in found] == ["0", "1", "2", "3", "4", "5"]
    assert [(record.claimed_until, record.last_error) for record in found[4:]] == [
        (LATER, "why call-4"),
        (LATER, "why call-5"),
    ]


def test_several_that_are_known_are_claimed_together_each_with_what_came_before(
    bench: Bench, ledger: CallLedger
) -> None:
    jobs = [make_job(n) for n in range(4)]
    ledger.give_back([(claimed(ledger, jobs[0]), "why")], NOW)
    claimed(ledger, jobs[1])
    ledger.settle([(claimed(ledger, make_job(9, "call-2")), REJECTED)], NOW)
    claims = several_claimed(bench.open(), jobs, EXPIRED)
    came_before = [(claim.attempts, claim.unanswered_at) for claim in claims]
    assert came_before == [(2, None), (2, NOW), (2, None), (1, None)]
    assert bench.record(row_key(jobs[2].key, "9")).state is State.REJECTED
    ledger.settle([(claim, SKIPPED) for claim in claims], EXPIRED)
    assert {bench.record(job.key).state for job in jobs} == {State.SKIPPED}


def test_of_two_who_claim_the_same_calls_at_once_each_call_has_one(bench: Bench) -> None:
    jobs = [make_job(n) for n in range(20)]
    for now in (NOW, EXPIRED):  # new, then known
        start = threading.Barrier(2)

        def ask(ledger: CallLedger, now: datetime = now, start: threading.Barrier = start) -> Any:
            start.wait(10)
            return ledger.claim(jobs, now, LEASE)

        with ThreadPoolExecutor(2) as pool:
            answers = list(pool.map(ask, [bench.open(), bench.open()]))
        assert [sum(isinstance(a, Claim) for a in both) for both in zip(*answers, strict=True)] == [1] * len(jobs)


TAKEN: dict[str, tuple[Callable[[CallLedger], object], type, int]] = {
    "in hand": (claimed, Held, 1),
    "submitted": (lambda ledger: ledger.settle([(claimed(ledger), SUBMITTED)], NOW), AlreadySubmitted, 1),
    "rejected": (lambda ledger: ledger.settle([(claimed(ledger), REJECTED)], NOW), Claim, 2),
    "run out": (lambda ledger: claimed(ledger, now=NOW - LEASE), Claim, 2),
}


@pytest.mark.parametrize(("take", "answer", "attempts"), TAKEN.values(), ids=TAKEN)
def test_where_one_of_several_is_taken_each_gets_its_own_answer(
    bench: Bench, ledger: CallLedger, take: Callable[[CallLedger], object], answer: type, attempts: int
) -> None:
    take(ledger)
    jobs = [make_job(6), make_job(7), make_job(8), make_job(9, day="2026-11-21"), make_job(10, day="2026-11-21")]
    answers = bench.open().claim(jobs, NOW, LEASE)
    assert [type(found) for found in answers] == [Claim, answer, Claim, Claim, Claim]
    assert [bench.record(job.key).attempts for job in jobs] == [1, attempts, 1, 1, 1]
    ledger.settle([(answers[2], SKIPPED)], NOW)
    assert bench.record(jobs[2].key).state is State.SKIPPED


def test_two_rows_of_one_call_asked_for_together_are_one_claim(ledger: CallLedger) -> None:
    answers = ledger.claim([make_job(7), make_job(8, "call-7")], NOW, LEASE)
    assert [type(answer) for answer in answers] == [Claim, Held]


def test_more_than_a_transaction_takes_are_claimed_all_the_same(ledger: CallLedger) -> None:
    answers = ledger.claim([make_job(n) for n in range(101)], NOW, LEASE)
    assert [answer.key.name for answer in answers] == [f"call-{n}" for n in range(101)]
    assert {type(answer) for answer in answers} == {Claim}


# A claim in hand is left alone


class Intrusion:
    """A worker has the call; an earlier one, whose claim ran out, is still there."""

    def __init__(self, bench: Bench) -> None:
        self.bench, self.ledger = bench, bench.open()
        self.stale = claimed(self.ledger, now=NOW - LEASE)
        self.other = claimed(self.ledger, make_job(5))
        self.live = claimed(bench.open())


INTRUSIONS: dict[str, Callable[[Intrusion], object]] = {
    "another claim": lambda i: i.ledger.claim([make_job()], LATER, LEASE),
    "a claim of several": lambda i: i.ledger.claim([make_job(1), make_job()], LATER, LEASE),
    "a claim for another row": lambda i: i.ledger.claim([make_job(8, "call-7")], LATER, LEASE),
    "what the host gave up on": lambda i: i.ledger.record(KEY, message_of(make_job()), REJECTED, LATER),
    "a replay that went elsewhere": lambda i: i.ledger.record(KEY, None, SKIPPED, LATER),
    "a late rejection": lambda i: i.ledger.settle([(i.stale, REJECTED)], LATER),
    "a late skip": lambda i: i.ledger.settle([(i.stale, SKIPPED)], LATER),
    "a late give-back": lambda i: i.ledger.give_back([(i.stale, "too late")], LATER),
    "late rejections": lambda i: i.ledger.settle([(i.stale, REJECTED), (i.other, REJECTED)], LATER),
    "late give-backs": lambda i: i.ledger.give_back([(i.other, "why"), (i.stale, "too late")], LATER),
    "a replay's mark": lambda i: i.bench.records.mark_replayed(KEY, LATER),
    "the cleaning": lambda i: list(i.bench.records.remove_settled(EXPIRED, EXPIRED, EXPIRED)),
}


@pytest.mark.parametrize("intrude", INTRUSIONS.values(), ids=INTRUSIONS)
def test_a_claim_in_hand_is_left_alone_whoever_comes_by(bench: Bench, intrude: Callable[[Intrusion], object]) -> None:
    intrusion = Intrusion(bench)
    before = bench.record()
    intrude(intrusion)
    assert bench.record() == before
    assert bench.record(intrusion.other.key).claimed_until in (EXPIRED, LATER), "the others get what they came for"
    intrusion.ledger.settle([(intrusion.live, REJECTED)], LATER)
    assert bench.record().state is State.REJECTED


def test_that_the_api_has_a_call_is_recorded_even_by_a_worker_that_lost_its_claim(bench: Bench) -> None:
    intrusion = Intrusion(bench)
    intrusion.ledger.settle([(intrusion.stale, SUBMITTED)], LATER)
    assert bench.record().state is State.SUBMITTED
    bench.open().settle([(intrusion.live, REJECTED)], LATER)
    assert bench.record().state is State.SUBMITTED


def test_two_ends_of_one_call_told_together_are_told_one_after_the_other(bench: Bench) -> None:
    intrusion = Intrusion(bench)
    bench.open().settle([(intrusion.stale, SUBMITTED), (intrusion.live, REJECTED)], LATER)
    assert (bench.record().state, bench.record().entry_id) == (State.SUBMITTED, "a1b2")


def test_who_has_a_call_is_told_to_whoever_wants_to_record_it(bench: Bench) -> None:
    until = Held("another worker has the call until 09:03:00 UTC", EXPIRED)
    assert Intrusion(bench).ledger.record(KEY, None, REJECTED, LATER) == until


# Settling


@pytest.mark.parametrize("settlement", [SUBMITTED, SKIPPED, MERGED, REJECTED], ids=lambda found: found.reason.value)
def test_a_settled_call_keeps_why_and_its_row_only_for_a_replay(
    bench: Bench, ledger: CallLedger, settlement: Settlement
) -> None:
    ledger.settle([(claimed(ledger), settlement)], LATER)
    record = bench.record()
    assert (record.state, record.reason, record.detail) == (settlement.state, settlement.reason, settlement.detail)
    assert (record.row_id, record.entry_id, record.settled_at) == ("7", settlement.entry_id, LATER)
    assert record.message == (message_of(make_job()).to_text() if settlement is REJECTED else "")


def test_of_an_endless_detail_or_error_the_beginning_is_kept(bench: Bench, ledger: CallLedger) -> None:
    ledger.give_back([(claimed(ledger), "e" * 100_000)], NOW)
    ledger.settle([(claimed(ledger), replace(REJECTED, detail="d" * 100_000))], NOW)
    assert (bench.record().detail, bench.record().last_error) == ("d" * 2_000, "e" * 2_000)


def test_a_claim_that_ran_out_while_nobody_came_can_still_be_settled(bench: Bench, ledger: CallLedger) -> None:
    ledger.settle([(claimed(ledger), REJECTED)], EXPIRED + LEASE)
    assert bench.record().state is State.REJECTED


# Recording what nobody will submit


@pytest.mark.parametrize(
    ("text", "kept"),
    [("no JSON", "no JSON"), ("", ""), ("😀" * 12_288, "😀" * 12_288), ("x" * 65_536, "x" * 60_000)],
    ids=["short", "empty", "of wide characters", "longer than there is room"],
)
def test_what_is_no_call_has_a_record_with_its_text_as_far_as_it_fits(
    bench: Bench, ledger: CallLedger, text: str, kept: str
) -> None:
    assert ledger.record(KEY, Unreadable(text, "the message is not JSON"), REJECTED, NOW) == Recorded()
    assert bench.record() == LedgerRecord(
        State.REJECTED, None, kept, reason="invalid_row", detail="ended_at: missing", settled_at=NOW
    )


@pytest.mark.parametrize("settlement", [None, SKIPPED, REJECTED], ids=["a claim that ran out", "skipped", "rejected"])
def test_a_call_that_nobody_has_is_recorded_and_can_be_claimed_again(
    bench: Bench, ledger: CallLedger, settlement: Settlement | None
) -> None:
    claim = claimed(ledger, now=NOW - LEASE)
    if settlement:
        ledger.settle([(claim, settlement)], NOW)
    assert ledger.record(KEY, message_of(make_job()), REJECTED, NOW) == Recorded()
    ledger.give_back([(claim, "too late")], NOW)
    assert (bench.record().state, bench.record().attempts, bench.record().last_error) == (State.REJECTED, 1, None)
    assert bench.letter(KEY) == message_of(make_job())
    assert ledger.record(KEY, None, SKIPPED, LATER) == Recorded()
    assert (bench.record().state, bench.record().row_id, bench.record().message) == (State.SKIPPED, "7", "")
    assert claimed(ledger).attempts == 2


@pytest.mark.parametrize("settlement", [SUBMITTED, MERGED], ids=["submitted", "part of another"])
def test_what_the_api_has_is_not_recorded_as_anything_else(
    bench: Bench, ledger: CallLedger, settlement: Settlement
) -> None:
    ledger.settle([(claimed(ledger), settlement)], NOW)
    before = bench.record()
    answer = ledger.record(KEY, message_of(make_job(8, "call-7")), REJECTED, LATER)
    assert answer == AlreadySubmitted("7", as_part=settlement is MERGED)
    assert bench.record() == before


# The real thing alone: answers that are lost

each_fault = pytest.mark.parametrize("fault", ["answer lost", "answered 503", "not sent"])


@pytest.fixture
def table(azurite_bench: AzuriteBench) -> CallLedger:
    """The real thing, on a line that a test can break."""
    ledger = azurite_bench.open()
    ledger.last_error(KEY)  # so that the table is there
    return ledger


@each_fault
def test_a_claim_that_was_carried_out_although_its_answer_was_lost_is_ones_own(
    azurite_bench: AzuriteBench, table: CallLedger, line: Line, fault: Fault
) -> None:
    line.fail_next("POST", fault)
    assert claimed(table).attempts == 1
    line.fail_next("PATCH", fault)
    claim = claimed(table, now=EXPIRED)
    assert claim.attempts == 2
    line.fail_next("PATCH", fault)
    table.give_back([(claim, "why")], EXPIRED)
    line.fail_next("POST", fault)
    answers = table.claim([make_job(1), make_job(2)], NOW, LEASE)
    for answer in answers:
        table.settle([(answer, REJECTED)], EXPIRED)
    assert line.is_sound
    assert [azurite_bench.record(make_job(n).key).state for n in (1, 2)] == [State.REJECTED] * 2
    assert claimed(table, now=EXPIRED).attempts == 3


@pytest.mark.parametrize("settlement", [SUBMITTED, SKIPPED, REJECTED], ids=lambda found: found.state.value)
@each_fault
def test_a_settlement_or_record_whose_answer_was_lost_is_there_once(
    azurite_bench: AzuriteBench, table: CallLedger, line: Line, fault: Fault, settlement: Settlement
) -> None:
    claim = claimed(table)
    line.fail_next("POST", fault)
    table.settle([(claim, settlement)], NOW)
    assert azurite_bench.record().state is settlement.state
    line.fail_next("POST", fault)
    own = CallKey(UNDATED, "row-7")
    assert table.record(own, None, REJECTED, NOW) == Recorded()
    line.fail_next("POST", fault)
    assert table.record(own, None, SKIPPED, NOW) == Recorded()
    assert line.is_sound
    assert [len(list(azurite_bench.records.entries(day))) for day in (DAY, UNDATED)] == [1, 1]
    assert azurite_bench.records.counts(NOW).states == Counter([settlement.state, State.SKIPPED])


def test_a_lost_answer_does_not_hide_that_another_worker_has_the_call(table: CallLedger, line: Line) -> None:
    claimed(table)
    line.fail_next("POST", "answer lost")
    (answer,) = table.claim([make_job()], LATER, LEASE)
    assert isinstance(answer, Held)


# The real thing alone: others who come in between two requests


class Meddler(AzureTransport):
    """A line on which somebody is always quicker: he acts before requests of a method (None: of any), so often."""

    def __init__(self, method: str | None, times: int, act: Callable[[], object]) -> None:
        super().__init__(connect_s=USUAL.connect_s, answer_s=USUAL.answer_s)
        self.method, self.times, self.act = method, times, act

    def send(self, request: HttpRequest, **options: Any) -> HttpResponse:
        if self.method in (None, request.method) and self.times:
            self.times -= 1
            self.act()
        return super().send(request, **options)


def meddled_with(storage: Storage, bench: AzuriteBench, meddler: Meddler) -> CallLedger:
    account = StorageAccount({SETTING: storage.connection_string}, AT_ONCE, meddler)
    return TableCallLedger(account, bench.name)


@each_fault
def test_what_is_claimed_and_settled_together_although_an_answer_was_lost_is_ones_own(
    azurite_bench: AzuriteBench, table: CallLedger, line: Line, fault: Fault
) -> None:
    jobs = [make_job(n) for n in range(3)]
    line.fail_next("POST", fault)
    several_claimed(table, jobs)
    line.fail_next("POST", "sound", fault)  # the inserts are refused, the updates get lost
    claims = several_claimed(table, jobs, EXPIRED)
    assert {(claim.attempts, claim.unanswered_at) for claim in claims} == {(2, NOW)}
    line.fail_next("POST", fault)
    table.give_back([(claim, "why") for claim in claims], EXPIRED)
    claims = several_claimed(table, jobs, EXPIRED)
    assert {(claim.attempts, claim.unanswered_at) for claim in claims} == {(3, EXPIRED)}
    line.fail_next("POST", fault)
    table.settle(list(zip(claims, (SUBMITTED, SKIPPED, REJECTED), strict=True)), EXPIRED)
    assert line.is_sound
    assert [azurite_bench.record(job.key).state.value for job in jobs] == ["submitted", "skipped", "rejected"]


def test_many_cost_few_requests(storage: Storage, azurite_bench: AzuriteBench) -> None:
    requests: list[int] = []
    counting = Meddler(None, 999, lambda: requests.append(1))
    ledger, jobs = meddled_with(storage, azurite_bench, counting), [make_job(n) for n in range(24)]

    def cost(of: Callable[[], Any]) -> int:
        requests.clear()
        of()
        return len(requests)

    ledger.settle([(claimed(ledger, make_job(98)), SKIPPED)], NOW)
    around = 2  # the range of their names, on each day
    assert cost(lambda: ledger.claim([make_job(99)], NOW, LEASE)) == 1 + 2
    assert cost(lambda: ledger.claim(jobs, NOW, LEASE)) == 1 + around
    assert cost(lambda: ledger.claim(jobs, NOW, LEASE)) == 1 + 1, "all are in hand"
    assert cost(lambda: ledger.claim(jobs, EXPIRED, LEASE)) == 1 + 1 + 1 + around, "they are known"
    claims = several_claimed(ledger, jobs, EXPIRED + LEASE)
    assert cost(lambda: ledger.give_back([(claim, "why") for claim in claims], EXPIRED + LEASE)) == 1
    claims = several_claimed(ledger, jobs, EXPIRED + LEASE)
    assert cost(lambda: ledger.settle([(claim, SUBMITTED) for claim in claims], NOW)) == 1
    assert cost(lambda: ledger.give_back([(claim, "why") for claim in claims], NOW)) > len(jobs), "too late: one by one"


@pytest.mark.parametrize(("times", "is_recorded"), [(1, True), (4, True), (5, False)])
def test_a_record_that_changes_meanwhile_is_looked_at_again_but_not_for_ever(
    storage: Storage, azurite_bench: AzuriteBench, table: CallLedger, times: int, *, is_recorded: bool
) -> None:
    table.record(KEY, None, REJECTED, NOW)
    meddler = Meddler("POST", 0, lambda: table.record(KEY, None, REJECTED, NOW))
    ledger = meddled_with(storage, azurite_bench, meddler)
    ledger.record(make_job(8).key, None, SKIPPED, NOW)
    meddler.times = times
    if is_recorded:
        assert ledger.record(KEY, None, SKIPPED, LATER) == Recorded()
    else:
        with pytest.raises(StorageUnavailable, match="the record of call-7 kept changing under us"):
            ledger.record(KEY, None, SKIPPED, LATER)
    assert azurite_bench.record().state is (State.SKIPPED if is_recorded else State.REJECTED)


@pytest.mark.parametrize(("times", "is_settled"), [(1, True), (5, True), (6, False)])
def test_a_claim_is_settled_though_its_record_changes_meanwhile_but_not_for_ever(
    storage: Storage, azurite_bench: AzuriteBench, table: CallLedger, times: int, *, is_settled: bool
) -> None:
    claim = claimed(table)
    entities = storage.plain_table(azurite_bench.name)
    touched = {"PartitionKey": DAY, "RowKey": KEY.name, "last_error": "touched"}
    meddler = Meddler("POST", 0, lambda: entities.update_entity(touched))
    ledger = meddled_with(storage, azurite_bench, meddler)
    ledger.record(make_job(8).key, None, SUBMITTED, NOW)
    meddler.times = times
    with nullcontext() if is_settled else pytest.raises(StorageUnavailable, match="kept changing under us"):
        ledger.settle([(claim, SKIPPED)], NOW)
    assert azurite_bench.record().state is (State.SKIPPED if is_settled else State.CLAIMED)
    assert azurite_bench.records.counts(NOW).states.get(State.SKIPPED, 0) == is_settled


def test_a_claim_is_given_back_though_its_record_has_changed_otherwise(
    storage: Storage, azurite_bench: AzuriteBench, table: CallLedger
) -> None:
    claim = claimed(table)
    storage.plain_table(azurite_bench.name).update_entity({"PartitionKey": DAY, "RowKey": KEY.name, "entry_id": ""})
    table.give_back([(claim, "why")], LATER)
    assert (azurite_bench.record().last_error, claimed(table, now=LATER).attempts) == ("why", 2)


def test_a_record_that_is_made_meanwhile_is_found(
    storage: Storage, azurite_bench: AzuriteBench, table: CallLedger
) -> None:
    meddler = Meddler("POST", 0, lambda: claimed(table))
    ledger = meddled_with(storage, azurite_bench, meddler)
    ledger.last_error(KEY)
    meddler.times = 1
    assert ledger.record(KEY, None, REJECTED, NOW) == Held("another worker has the call until 09:03:00 UTC", EXPIRED)


def test_a_record_that_is_gone_when_it_is_looked_at_is_nobodys_claim(
    storage: Storage, azurite_bench: AzuriteBench, table: CallLedger
) -> None:
    claimed(table)
    remove = Meddler("GET", 1, lambda: storage.plain_table(azurite_bench.name).delete_entity(DAY, KEY.name))
    (answer,) = meddled_with(storage, azurite_bench, remove).claim([make_job()], EXPIRED, LEASE)
    assert answer == Held("the ledger's record vanished between two looks at it")
