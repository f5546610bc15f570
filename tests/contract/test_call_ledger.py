"""What every CallLedger does: the twin, and a table in Azurite."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from azure.core.exceptions import ResourceNotFoundError

from cdr.calls.call import CallKey, Settlement, State
from cdr.calls.rules import UNDATED
from cdr.edges.storage.ledger import TableCallLedger
from cdr.edges.storage.table import escape_key, from_pieces
from cdr.submission.ports import CallLedger, Claim, RejectedCall, Settled
from shared.errors import ClaimHeld
from tests.fakes.fake import LONG_AGO
from tests.fakes.ledger import InMemoryLedger, LedgerRecord
from tests.systems.storage import Fault, Line, Storage

NOW = datetime(2026, 11, 20, 9, 0, 0, 123000, tzinfo=UTC)
LATER = NOW + timedelta(minutes=1)
LEASE = timedelta(minutes=3)
EXPIRED = NOW + LEASE
KEY = CallKey("2026-11-20", "call-7")
SUBMITTED = Settlement(State.SUBMITTED, "created", entry_id="a1b2")
SKIPPED = Settlement(State.SKIPPED, "unanswered")
REJECTED = Settlement(State.REJECTED, "invalid_row", "ended_at: missing")


class Bench(ABC):
    """A ledger, and what it really holds."""

    @abstractmethod
    def open(self) -> CallLedger:
        """The ledger as another worker has it."""

    @abstractmethod
    def record(self, key: CallKey = KEY) -> LedgerRecord | None: ...


class TwinBench(Bench):
    def __init__(self) -> None:
        self._ledger = InMemoryLedger()

    def open(self) -> CallLedger:
        return self._ledger

    def record(self, key: CallKey = KEY) -> LedgerRecord | None:
        return self._ledger.records.get(key)


class AzuriteBench(Bench):
    def __init__(self, storage: Storage) -> None:
        self._account = storage.account
        self._name = storage.new_name()
        self._table = storage.plain_table(self._name)

    def open(self) -> CallLedger:
        return TableCallLedger(self._account, self._name)

    def record(self, key: CallKey = KEY) -> LedgerRecord | None:
        try:
            found: Any = self._table.get_entity(key.day, escape_key(key.name))
        except ResourceNotFoundError:
            return None
        return LedgerRecord(
            state=State(found["state"]),
            row_id=int(found["row_id"]) if "row_id" in found else None,
            message=from_pieces("row", found, 2),
            attempts=found["attempts"],
            claimed_until=found.get("claimed_until", LONG_AGO),
            reason=found.get("reason", ""),
            detail=found.get("detail", ""),
            entry_id=found.get("entry_id") or None,
            last_error=found.get("last_error"),
            settled_at=found.get("settled_at"),
            replayed_at=found.get("replayed_at"),
        )


@pytest.fixture(params=["twin", "azurite"])
def bench(request: pytest.FixtureRequest) -> Bench:
    return TwinBench() if request.param == "twin" else AzuriteBench(request.getfixturevalue("storage"))


@pytest.fixture
def ledger(bench: Bench) -> CallLedger:
    return bench.open()


@pytest.fixture
def azurite_bench(storage: Storage) -> AzuriteBench:
    return AzuriteBench(storage)


@pytest.fixture
def table(azurite_bench: AzuriteBench, line: Line) -> CallLedger:
    """The real thing, on a line that a test can break."""
    ledger = azurite_bench.open()
    ledger.last_error(KEY)  # so that the table is there
    return ledger


def claimed(
    ledger: CallLedger, now: datetime = NOW, *, key: CallKey = KEY, row_id: int = 7, message: str = "{}"
) -> Claim:
    claim = ledger.claim(key, row_id, message, now, LEASE)
    assert isinstance(claim, Claim)
    return claim


# Claiming


def test_another_rows_reason_stays_when_the_call_is_claimed(bench: Bench) -> None:
    """Two rows may share a pbxCallId; that the first is not logged must still be found once the second one is."""
    ledger = bench.open()
    first = ledger.claim(KEY, 7, "{}", NOW, LEASE)
    assert isinstance(first, Claim)
    ledger.settle(first, REJECTED, NOW)
    second = ledger.claim(KEY, 8, "{}", NOW, LEASE)
    assert isinstance(second, Claim)
    ledger.settle(second, SUBMITTED, NOW)
    assert [(call.key.name, call.reason) for call in ledger.rejected()] == [(f"{KEY.name} row-7", "invalid_row")]
    assert ledger.count_states().counts == {State.SUBMITTED: 1, State.REJECTED: 1}


def test_the_first_to_ask_gets_the_claim(bench: Bench, ledger: CallLedger) -> None:
    claim = claimed(ledger, message='{"row": 1}')
    assert (claim.key, claim.until, claim.attempts) == (KEY, NOW + LEASE, 1)
    assert bench.record() == LedgerRecord(State.CLAIMED, 7, '{"row": 1}', attempts=1, claimed_until=NOW + LEASE)


def test_a_claim_keeps_all_others_out_until_its_lease_ends(bench: Bench, ledger: CallLedger) -> None:
    claimed(ledger)
    for now in (NOW, EXPIRED - timedelta(milliseconds=1)):
        with pytest.raises(ClaimHeld, match="until 09:03:00 UTC") as held:
            bench.open().claim(KEY, 7, "{}", now, LEASE)
        assert held.value.until == EXPIRED


def test_a_claim_whose_worker_died_goes_to_the_next_and_counts(bench: Bench, ledger: CallLedger) -> None:
    first = claimed(ledger)
    second = claimed(bench.open(), EXPIRED, row_id=8, message="other")
    assert second.attempts == 2
    assert second.version != first.version
    assert bench.record() == LedgerRecord(State.CLAIMED, 8, "other", attempts=2, claimed_until=EXPIRED + LEASE)


def test_a_call_that_the_api_has_cannot_be_claimed_and_says_which_row_brought_it(ledger: CallLedger) -> None:
    ledger.settle(claimed(ledger), SUBMITTED, NOW)
    assert ledger.claim(KEY, 8, "{}", EXPIRED, LEASE) == Settled(7)


@pytest.mark.parametrize("settlement", [SKIPPED, REJECTED], ids=["skipped", "rejected"])
def test_a_call_that_did_not_go_to_the_api_can_be_claimed_again_at_once(
    bench: Bench, ledger: CallLedger, settlement: Settlement
) -> None:
    ledger.settle(claimed(ledger), settlement, NOW)
    again = claimed(bench.open(), NOW, message="again")
    assert again.attempts == 2
    ledger.settle(again, SUBMITTED, LATER)
    record = bench.record()
    assert (record.state, record.reason, record.detail, record.entry_id) == (State.SUBMITTED, "created", "", "a1b2")


def test_of_two_that_claim_at_the_same_moment_one_gets_it(bench: Bench) -> None:
    ledgers = [bench.open(), bench.open()]
    for ledger in ledgers:
        ledger.last_error(KEY)
    with ThreadPoolExecutor(len(ledgers)) as pool:
        for number in range(25):
            for now in (NOW, EXPIRED):  # an insert, then an update
                key, start = CallKey("2026-11-20", f"call-{number}"), threading.Barrier(len(ledgers))

                def ask(
                    ledger: CallLedger,
                    key: CallKey = key,
                    now: datetime = now,
                    start: threading.Barrier = start,
                ) -> Claim | None:
                    start.wait(10)
                    try:
                        return claimed(ledger, now, key=key)
                    except ClaimHeld:
                        return None

                claims = [claim for claim in pool.map(ask, ledgers) if claim]
                assert len(claims) == 1
            ledgers[0].settle(claims[0], SKIPPED, now)
            assert bench.record(key).state is State.SKIPPED


@pytest.mark.parametrize(
    "name",
    [
        "a/b",
        "a\\b",
        "a#b",
        "a?b",
        "a%2fb",
        "a!2fb",
        "O'Brien",
        "Zoë 漢字 😀",
        "tab\there",
        "\x7f\x80",
        " x ",
        "A+b&c=d",
        "x" * 100,
        "/" * 100,
    ],
)
def test_a_call_of_any_name_has_a_place_of_its_own(bench: Bench, ledger: CallLedger, name: str) -> None:
    key, other = CallKey("2026-11-20", name), CallKey("2026-11-20", name.swapcase() + ".")
    claim = claimed(ledger, key=key, row_id=1)
    claimed(ledger, key=other, row_id=2)
    claimed(ledger, key=CallKey(UNDATED, name), row_id=3)
    ledger.settle(claim, REJECTED, NOW)
    assert bench.record(key).row_id == 1
    assert bench.record(other).row_id == 2
    assert [rejected.key for rejected in ledger.rejected()] == [key]
    assert ledger.message(key) == "{}"


def test_names_that_look_alike_when_they_are_escaped_are_different_calls(ledger: CallLedger) -> None:
    for number, name in enumerate(("a/b", "a!2fb", "a!b", "a%b", "a%2Fb", "A/B")):
        assert claimed(ledger, key=CallKey("2026-11-20", name), row_id=number).attempts == 1


@pytest.mark.parametrize(
    "text", ["x" * 49_152, "漢" * 16_384, "😀" * 12_288, "\x00\r\n", "{}"], ids=lambda t: f"{len(t)}"
)
def test_a_message_of_any_length_that_a_queue_can_bring_is_kept_whole(
    bench: Bench, ledger: CallLedger, text: str
) -> None:
    ledger.settle(claimed(ledger, message=text), REJECTED, NOW)
    assert bench.record().message == text
    assert ledger.message(KEY) == text


# Settling


def test_a_submitted_call_keeps_the_apis_id_and_lets_go_of_its_row(bench: Bench, ledger: CallLedger) -> None:
    ledger.settle(claimed(ledger), SUBMITTED, LATER)
    record = bench.record()
    assert (record.state, record.reason, record.entry_id) == (State.SUBMITTED, "created", "a1b2")
    assert (record.row_id, record.message, record.settled_at) == (7, "", LATER)


def test_a_skipped_call_keeps_its_reason_and_lets_go_of_its_row(bench: Bench, ledger: CallLedger) -> None:
    ledger.settle(claimed(ledger), SKIPPED, LATER)
    record = bench.record()
    assert (record.state, record.reason, record.entry_id) == (State.SKIPPED, "unanswered", None)
    assert (record.row_id, record.message, record.settled_at) == (7, "", LATER)


def test_a_rejected_call_keeps_its_reason_in_full_and_its_row_for_a_replay(bench: Bench, ledger: CallLedger) -> None:
    ledger.settle(claimed(ledger, message="the row"), REJECTED, LATER)
    record = bench.record()
    assert (record.state, record.reason, record.detail) == (State.REJECTED, "invalid_row", "ended_at: missing")
    assert (record.row_id, record.message, record.settled_at) == (7, "the row", LATER)


def test_of_an_endless_detail_or_error_the_beginning_is_kept(bench: Bench, ledger: CallLedger) -> None:
    claim = claimed(ledger)
    ledger.give_back(claim, "e" * 100_000, NOW)
    ledger.settle(claimed(ledger), replace(REJECTED, detail="d" * 100_000), NOW)
    record = bench.record()
    assert record.detail == "d" * 2_000
    assert record.last_error == "e" * 2_000


def test_that_the_api_has_a_call_is_recorded_even_by_a_worker_that_lost_its_claim(
    bench: Bench, ledger: CallLedger
) -> None:
    lost = claimed(ledger)
    taken = claimed(bench.open(), EXPIRED)
    ledger.settle(lost, SUBMITTED, EXPIRED)
    assert bench.record().state is State.SUBMITTED
    bench.open().settle(taken, REJECTED, EXPIRED)
    assert bench.record().state is State.SUBMITTED


@pytest.mark.parametrize("settlement", [SKIPPED, REJECTED], ids=["skipped", "rejected"])
def test_anything_else_is_left_to_whoever_has_the_claim_now(
    bench: Bench, ledger: CallLedger, settlement: Settlement
) -> None:
    lost = claimed(ledger)
    taken = claimed(bench.open(), EXPIRED)
    before = bench.record()
    ledger.settle(lost, settlement, EXPIRED)
    assert bench.record() == before
    bench.open().settle(taken, SUBMITTED, EXPIRED)
    assert bench.record().state is State.SUBMITTED


def test_a_claim_that_ran_out_while_nobody_came_can_still_be_settled(bench: Bench, ledger: CallLedger) -> None:
    ledger.settle(claimed(ledger), REJECTED, EXPIRED + LEASE)
    assert bench.record().state is State.REJECTED


# Giving back


def test_a_claim_given_back_lets_the_next_in_at_once_and_tells_why(bench: Bench, ledger: CallLedger) -> None:
    ledger.give_back(claimed(ledger), "ApiUnavailable: the API answered 503", LATER)
    assert bench.open().last_error(KEY) == "ApiUnavailable: the API answered 503"
    assert claimed(bench.open(), LATER).attempts == 2
    assert bench.open().last_error(KEY) == "ApiUnavailable: the API answered 503"


def test_giving_back_a_lost_claim_changes_nothing(bench: Bench, ledger: CallLedger) -> None:
    lost = claimed(ledger)
    claimed(bench.open(), EXPIRED)
    ledger.give_back(lost, "too late", EXPIRED)
    assert bench.open().last_error(KEY) is None
    with pytest.raises(ClaimHeld):
        bench.open().claim(KEY, 7, "{}", EXPIRED, LEASE)


def test_a_call_that_nobody_knows_has_no_last_error(ledger: CallLedger) -> None:
    assert ledger.last_error(KEY) is None


# Keeping what nobody will submit


def test_a_call_without_a_record_gets_one(bench: Bench, ledger: CallLedger) -> None:
    assert ledger.keep(KEY, None, "no JSON", REJECTED, NOW) is True
    record = bench.record()
    assert (record.state, record.row_id, record.message) == (State.REJECTED, None, "no JSON")
    assert (record.reason, record.detail, record.settled_at) == ("invalid_row", "ended_at: missing", NOW)


def test_keeping_ends_a_claim_whatever_its_worker_does_later(bench: Bench, ledger: CallLedger) -> None:
    claim = claimed(ledger)
    assert bench.open().keep(KEY, 7, "the row", REJECTED, LATER) is True
    ledger.give_back(claim, "too late", LATER)
    ledger.settle(claim, SKIPPED, LATER)
    record = bench.record()
    assert (record.state, record.message, record.attempts) == (State.REJECTED, "the row", 1)


def test_what_the_api_has_is_not_kept_as_anything_else(bench: Bench, ledger: CallLedger) -> None:
    ledger.settle(claimed(ledger), SUBMITTED, NOW)
    before = bench.record()
    assert ledger.keep(KEY, 7, "the row", REJECTED, LATER) is False
    assert bench.record() == before


def test_a_kept_call_can_be_claimed_again(ledger: CallLedger) -> None:
    ledger.keep(KEY, 7, "the row", REJECTED, NOW)
    assert claimed(ledger).attempts == 1


def test_keeping_twice_leaves_one_record_with_the_newer_reason(bench: Bench, ledger: CallLedger) -> None:
    ledger.keep(KEY, 7, "the row", REJECTED, NOW)
    ledger.keep(KEY, 7, "the row", replace(REJECTED, reason="gave_up"), LATER)
    assert bench.record().reason == "gave_up"
    assert ledger.count_states().counts == {State.REJECTED: 1}


# Counting and finding


def test_calls_are_counted_by_state_over_all_days(ledger: CallLedger) -> None:
    days = ("2019-01-01", f"{datetime.now(UTC):%Y-%m-%d}", "2099-12-31", UNDATED)
    for number, day in enumerate(days):
        for settlement in (SUBMITTED, SKIPPED, REJECTED)[: number or 3]:
            ledger.settle(claimed(ledger, key=CallKey(day, settlement.reason)), settlement, NOW)
        claimed(ledger, key=CallKey(day, "under way"))
    counted = ledger.count_states()
    assert counted.complete
    assert counted.counts == {State.CLAIMED: 4, State.SUBMITTED: 4, State.SKIPPED: 3, State.REJECTED: 2}


def test_an_empty_ledger_has_nothing_to_count(ledger: CallLedger) -> None:
    counted = ledger.count_states()
    assert (dict(counted.counts), counted.complete) == ({}, True)
    assert list(ledger.rejected()) == []
    assert ledger.row_ids(date(2026, 1, 1), date(2026, 12, 31)) == set()
    assert ledger.message(KEY) == ""


def test_the_rejected_calls_are_listed_with_their_reasons(ledger: CallLedger) -> None:
    other = CallKey(UNDATED, "message-1/2")
    ledger.settle(claimed(ledger), REJECTED, NOW)
    ledger.keep(other, None, "no JSON", replace(REJECTED, reason="invalid_message", detail=""), LATER)
    ledger.settle(claimed(ledger, key=CallKey("2026-11-20", "skipped")), SKIPPED, NOW)
    assert sorted(ledger.rejected(), key=lambda rejected: rejected.settled_at) == [
        RejectedCall(KEY, "invalid_row", "ended_at: missing", NOW, None),
        RejectedCall(other, "invalid_message", "", LATER, None),
    ]


def test_a_rejected_call_that_is_replayed_says_when_and_stays_rejected(ledger: CallLedger) -> None:
    ledger.settle(claimed(ledger, message="the row"), REJECTED, NOW)
    ledger.mark_replayed(KEY, LATER)
    assert [rejected.replayed_at for rejected in ledger.rejected()] == [LATER]
    assert ledger.message(KEY) == "the row"


def test_marking_a_call_that_is_gone_as_replayed_is_no_error(bench: Bench, ledger: CallLedger) -> None:
    ledger.mark_replayed(KEY, NOW)
    assert bench.record() is None


def test_a_mark_that_comes_after_the_replayed_call_was_claimed_does_not_take_the_claim_away(
    bench: Bench, ledger: CallLedger
) -> None:
    ledger.settle(claimed(ledger), REJECTED, NOW)
    claim = claimed(bench.open(), LATER)
    ledger.mark_replayed(KEY, LATER)
    assert bench.record().replayed_at is None
    bench.open().settle(claim, REJECTED, LATER)
    assert bench.record().state is State.REJECTED


def test_the_rows_that_have_a_record_are_found_by_the_days_on_which_their_calls_ended(ledger: CallLedger) -> None:
    for row_id, day in enumerate(("2026-11-18", "2026-11-19", "2026-11-20", "2026-11-21", UNDATED), start=1):
        claimed(ledger, key=CallKey(day, f"call-{row_id}"), row_id=row_id)
    ledger.keep(CallKey(UNDATED, "garbage"), None, "no JSON", REJECTED, NOW)
    assert ledger.row_ids(date(2026, 11, 19), date(2026, 11, 20)) == {2, 3, 5}
    assert ledger.row_ids(date(2026, 11, 19), date(2026, 11, 20), undated=False) == {2, 3}


# Removing what is old


def test_records_that_were_settled_long_ago_are_removed_and_claims_never(bench: Bench, ledger: CallLedger) -> None:
    def settled(name: str, settlement: Settlement | None, days_ago: int, day: str | None = None) -> CallKey:
        then = NOW - timedelta(days=days_ago)
        key = CallKey(day or f"{then:%Y-%m-%d}", name)
        claim = claimed(ledger, then, key=key)
        if settlement:
            ledger.settle(claim, settlement, then)
        return key

    old = {
        settled("submitted", SUBMITTED, 91),
        settled("skipped", SKIPPED, 91),
        settled("undated", SKIPPED, 91, UNDATED),
        settled("rejected", REJECTED, 366),
    }
    young = {
        settled("young", SUBMITTED, 89),
        settled("young undated", SKIPPED, 89, UNDATED),
        settled("rejected later", REJECTED, 364),
        settled("claimed", None, 400),
    }
    before, rejected_before = NOW - timedelta(days=90), NOW - timedelta(days=365)
    assert sum(ledger.remove_settled(before, rejected_before)) == len(old)
    assert {key for key in old | young if bench.record(key)} == young
    assert sum(ledger.remove_settled(before, rejected_before)) == 0


def test_hundreds_of_records_of_one_day_are_removed_in_steps(ledger: CallLedger) -> None:
    for number in range(230):
        ledger.keep(CallKey("2026-01-01", f"call-{number}"), number, "", SKIPPED, NOW - timedelta(days=300))
    steps = ledger.remove_settled(NOW, NOW)
    assert 0 < next(steps) < 230
    assert ledger.count_states().counts[State.SKIPPED] > 0
    sum(steps)
    assert ledger.count_states().counts.get(State.SKIPPED, 0) == 0


def test_a_record_that_is_claimed_while_others_are_removed_stays(bench: Bench, ledger: CallLedger) -> None:
    keys = [CallKey("2026-01-01", f"call-{number:03}") for number in range(150)]
    for key in keys:
        ledger.keep(key, 7, "{}", REJECTED, NOW - timedelta(days=300))
    steps = ledger.remove_settled(NOW, NOW)
    next(steps)
    claim = claimed(bench.open(), key=next(key for key in keys if bench.record(key)))
    sum(steps)
    bench.open().settle(claim, SKIPPED, NOW)
    assert bench.record(claim.key).state is State.SKIPPED


# The real thing alone: answers that are lost


@pytest.mark.parametrize("fault", ["answer lost", "answered 503", "not sent"])
def test_a_claim_that_was_carried_out_although_its_answer_was_lost_is_ones_own(
    azurite_bench: AzuriteBench, table: CallLedger, line: Line, fault: Fault
) -> None:
    line.fail_next("POST", fault)
    assert claimed(table).attempts == 1
    line.fail_next("PATCH", fault)
    claim = claimed(table, EXPIRED)
    assert claim.attempts == 2
    table.settle(claim, REJECTED, EXPIRED)
    assert azurite_bench.record().state is State.REJECTED
    assert line.is_sound


@pytest.mark.parametrize("settlement", [SUBMITTED, SKIPPED, REJECTED], ids=lambda settlement: settlement.state)
@pytest.mark.parametrize("fault", ["answer lost", "answered 503", "not sent"])
def test_a_settlement_whose_answer_was_lost_is_recorded_once(
    azurite_bench: AzuriteBench, table: CallLedger, line: Line, fault: Fault, settlement: Settlement
) -> None:
    claim = claimed(table)
    line.fail_next("PATCH", fault)
    table.settle(claim, settlement, NOW)
    assert line.is_sound
    assert azurite_bench.record().state is settlement.state


@pytest.mark.parametrize("fault", ["answer lost", "answered 503", "not sent"])
def test_a_claim_is_given_back_although_the_answer_was_lost(table: CallLedger, line: Line, fault: Fault) -> None:
    claim = claimed(table)
    line.fail_next("PATCH", fault)
    table.give_back(claim, "why", NOW)
    assert line.is_sound
    assert claimed(table).attempts == 2


@pytest.mark.parametrize("fault", ["answer lost", "answered 503", "not sent"])
def test_a_call_is_kept_although_the_answer_was_lost(table: CallLedger, line: Line, fault: Fault) -> None:
    line.fail_next("POST", fault)
    assert table.keep(KEY, 7, "the row", REJECTED, NOW) is True
    line.fail_next("PATCH", fault)
    assert table.keep(KEY, 7, "the row", SKIPPED, NOW) is True
    assert line.is_sound
    assert table.count_states().counts == {State.SKIPPED: 1}


def test_a_lost_answer_does_not_hide_that_another_worker_has_the_call(table: CallLedger, line: Line) -> None:
    claimed(table)
    line.fail_next("POST", "answer lost")
    with pytest.raises(ClaimHeld):
        table.claim(KEY, 7, "{}", LATER, LEASE)
