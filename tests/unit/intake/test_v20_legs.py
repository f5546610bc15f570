"""Legs of a V20 phone system become calls: each case's right answer, and what holds for any legs."""

from __future__ import annotations

import time
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cdr.intake.folding.fold import Entry, FoldedCall, FoldOptions, records_of
from cdr.intake.folding.leg import Leg, Side, leg_of
from cdr.intake.folding.v20_legs import calls_of
from local.phone_system.v20 import POLICIES, SHAPES, Answer, PlayedCall, play
from tests.support.v20_cases import Case, RightCall, cases
from tests.support.writings import When, writings

CASES = list(cases())
ALL_ROWS = [row for case in CASES for row in case.rows]
BEGIN = datetime(2026, 3, 1, 22, 0, tzinfo=UTC)
CALLER = Side("external_line", "10000", "caller", "+19075550141", is_incoming=True)


def _folded(rows: Iterable[dict[str, Any]]) -> list[FoldedCall]:
    return calls_of(map(leg_of, rows))


def _told(entry: Entry) -> Answer:
    return Answer(
        str(entry.extension),
        entry.direction.value,
        entry.number,
        entry.talk,
        entry.answered_at,
        entry.ended_at,
        entry.group,
    )


def _owners(call: FoldedCall) -> dict[str, list[Answer]]:
    return {policy: list(map(_told, call.owners.get(policy, ()))) for policy in POLICIES}  # type: ignore[call-overload]


def _unanswered(call: FoldedCall) -> Answer | None:
    return _told(call.unanswered) if call.unanswered else None


def _right(call: FoldedCall) -> RightCall:
    return RightCall(
        call.flows,
        call.started_at or BEGIN,
        call.ended_at,
        frozenset((missing.leg, missing.lack.name.lower()) for missing in call.missing),
        _owners(call),
        _unanswered(call),
        {entry.leg for entries in call.owners.values() for entry in entries},
    )


@pytest.mark.parametrize("case", [pytest.param(case, id=case.name) for case in CASES])
def test_legs_become_the_right_calls(case: Case) -> None:
    calls = _folded(case.rows)
    assert [_right(call) for call in calls] == case.calls
    assert [call.id for call in calls] == [call.flows[0] for call in case.calls]
    assert [call.is_complete for call in calls] == [not call.missing for call in case.calls]


def test_flows_that_a_call_was_joined_to_are_known_where_they_are_absent() -> None:
    absent = {case.name: call.absent_flows for case in CASES for call in _folded(case.rows) if call.absent_flows}
    assert [len(flows) for flows in absent.values()] == [1]
    assert set(absent) == {"joined-to-a-flow-that-is-not-there"}


@settings(max_examples=15)
@given(st.randoms(use_true_random=False))
def test_neither_the_order_of_legs_nor_copies_nor_other_calls_matter(random: Random) -> None:
    rows = ALL_ROWS + random.choices(ALL_ROWS, k=50)
    random.shuffle(rows)
    together = _folded(rows)
    assert {call.id: call for call in together} == {call.id: call for case in CASES for call in _folded(case.rows)}


@pytest.mark.parametrize("shape", SHAPES)
@given(seed=st.integers(0, 10**9))
def test_a_played_call_is_told_as_it_was_played(shape: str, seed: int) -> None:
    played = play(Random(seed), BEGIN, shape)
    (call,) = _folded(played.rows)
    assert call.is_complete
    assert (call.id, call.started_at, call.ended_at) == (played.id, played.started_at, played.ended_at)
    assert (_owners(call), _unanswered(call)) == (played.owners, played.unanswered)


def _all_but_its_end(answer: Answer | None) -> tuple[object, ...] | None:
    """Of a missed call: the last two legs of a caller who gives up end milliseconds apart."""
    return answer and (answer.extension, answer.direction, answer.number, answer.group)


def _states(played: PlayedCall, random: Random, when: When, late: timedelta) -> Iterable[list[dict[str, Any]]]:
    """The table after each of its writings, but for rows that are written all but at once."""
    written = writings(played, random, when, late=late, doubled=0.1)
    table: dict[str, dict[str, Any]] = {}
    for this, following in zip(written, [*written[1:], None], strict=True):
        before = table.get(this.row["cdr_id"])
        if before is None or before["cdr_ended_at"] is None:
            table[this.row["cdr_id"]] = this.row
        if following is None or following.at - this.at > timedelta(milliseconds=50):
            yield list(table.values())


@pytest.mark.parametrize("when", ["leg start", "leg end", "flow end"])
@given(seed=st.integers(0, 10**9), late=st.sampled_from([timedelta(), timedelta(minutes=5)]))
def test_what_counts_as_complete_stays_as_it_is(when: When, seed: int, late: timedelta) -> None:
    """But for rows that come late and that no other row names: of a phone that rang when the caller gave up, and of a
    colleague's consultation."""
    played = play(Random(seed), BEGIN)
    for rows in _states(played, Random(seed), when, late):
        for call in (call for call in _folded(rows) if call.is_complete and not call.absent_flows):
            assert _owners(call) == played.owners or (late and played.shape == "internal")
            assert _all_but_its_end(_unanswered(call)) == _all_but_its_end(played.unanswered) or late


@given(seed=st.integers(0, 10**9))
def test_of_the_copies_that_a_replica_gets_the_last_ones_count(seed: int) -> None:
    played, random = play(Random(seed), BEGIN), Random(seed)
    copies = [
        each.row
        for each in writings(
            played, random, "leg start", joined_late=timedelta(hours=1), copied_every=timedelta(minutes=5)
        )
    ]
    random.shuffle(copies)
    (call,) = _folded(copies)
    assert (_owners(call), _unanswered(call)) == (played.owners, played.unanswered)


def _any_of(*values: Any) -> st.SearchStrategy[Any]:
    return st.sampled_from([None, *values])


IDS = "abcdefgh"
MOMENTS = [BEGIN + timedelta(seconds=seconds) for seconds in range(5)]
SIDES = st.builds(
    Side,
    _any_of(
        "extension", "external_line", "queue", "ring_group_hunt", "paging_group", "voicemail", "ivr", "outbound_rule"
    ),
    _any_of("200", "201"),
    _any_of("x", "y"),
    _any_of("+1", "+2"),
    _any_of(True, False),
)
LEGS = st.builds(
    Leg,
    st.sampled_from(IDS),
    st.sampled_from("FGH"),
    SIDES,
    SIDES,
    _any_of(*"FGHI"),
    _any_of(*IDS),
    _any_of(*IDS),
    _any_of(*IDS),
    _any_of("call_init", "barge_in_listen"),
    _any_of("polling", "no_answer"),
    _any_of("redirected", "continued_in", "rejected"),
    _any_of("no_destinations"),
    _any_of(*MOMENTS),
    _any_of(*MOMENTS),
    st.sampled_from([*MOMENTS, None]),
    _any_of(1, 2),
)


@given(st.lists(LEGS, max_size=12), st.randoms(use_true_random=False), st.sampled_from(POLICIES))
def test_any_legs_make_calls_and_any_call_makes_records(legs: list[Leg], random: Random, policy: Any) -> None:
    calls = calls_of(legs)
    assert sorted(leg for call in calls for leg in call.legs) == sorted({leg.id for leg in legs})
    records = [record for call in calls for record in records_of(call, FoldOptions(policy), give_up=True)]
    assert {record.values["call_id"] for record in records} == {call.id for call in calls}
    assert len({record.id for record in records}) == len(records)
    random.shuffle(legs)
    assert calls_of(legs) == calls


@given(st.lists(LEGS, max_size=12))
def test_policies_choose_among_the_entries_of_each(legs: list[Leg]) -> None:
    for call in calls_of(legs):
        each = call.owners.get("each", ())
        assert all(entry in each for entries in call.owners.values() for entry in entries)
        assert len({entry.extension for entry in each}) == len(each)


def _loop(length: int, first_from: str | None) -> list[Leg]:
    """A call that is sent round and round, and answered at each mobile that it comes to."""
    around = [Side("outbound_rule", "9"), Side("external_line", "1", "mobile", "+1"), Side("extension", "200")]
    return [
        Leg(
            str(number),
            "flow",
            CALLER,
            around[number % 3],
            originating=str(number - 1) if number else first_from,
            started_at=BEGIN + timedelta(seconds=number),
            answered_at=BEGIN if number % 3 == 1 else None,
            ended_at=BEGIN + timedelta(seconds=number + 1),
        )
        for number in range(length)
    ]


@pytest.mark.parametrize("is_circle", [False, True])
def test_a_loop_of_thousands_of_legs_takes_time_in_proportion(is_circle: bool) -> None:  # noqa: FBT001
    """Ten times the legs take ten times as long; a hundred times would be their square."""

    def seconds(length: int) -> float:
        legs = _loop(length, str(length - 1) if is_circle else None)
        began = time.process_time()
        (call,) = calls_of(legs)
        assert call.is_complete
        return time.process_time() - began

    few = min(seconds(1_200) for _ in range(3))
    assert min(seconds(12_000) for _ in range(2)) < 30 * few
