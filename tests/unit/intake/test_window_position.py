"""A position in a report that is read by when rows started: what it keeps, and that it is the same as text."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdr.intake.queued_marks import Marks, mark_of
from cdr.intake.window_order.position import (
    Again,
    Waiting,
    WindowPosition,
    from_text,
    queued,
    read_between,
    to_text,
    waits,
)
from cdr.intake.window_order.under_way import Looks, Seen
from shared.errors import PositionUnreadable

NOON = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
YOUNG, OLD = 8 * MINUTE, 60 * MINUTE

moments = st.integers(0, 10**12).map(lambda ms: datetime(2020, 1, 1, tzinfo=UTC) + timedelta(milliseconds=ms))
maybe = st.none() | moments
names = st.text(max_size=9)
positions = st.builds(
    WindowPosition,
    read=st.dictionaries(st.integers(1, 10**5).map(lambda s: timedelta(seconds=s)), moments, min_size=1),
    ended_after=maybe,
    started_from=maybe,
    looks=st.builds(
        Looks,
        st.lists(moments, max_size=3).map(tuple),
        st.lists(st.builds(Seen, names, maybe, maybe, maybe, moments), max_size=3).map(tuple),
    ),
    blind=maybe,
    again=st.lists(st.builds(Again, moments, moments), max_size=3).map(tuple),
    waiting=st.dictionaries(names, st.builds(Waiting, moments, moments, moments, moments), max_size=3),
    done=st.lists(st.tuples(names, moments), max_size=3).map(
        lambda found: sum_of(Marks(), [(mark_of(name, None), at) for name, at in found])
    ),
)


def sum_of(marks: Marks, found: list[tuple[str, datetime]]) -> Marks:
    for mark, at in found:
        marks = marks.with_more([mark], at)
    return marks


@given(positions)
def test_a_position_is_the_same_as_text(position: WindowPosition) -> None:
    assert from_text(to_text(position)) == position


def test_a_position_that_was_stored_goes_on_to_mean_the_same() -> None:
    position = WindowPosition(
        {YOUNG: NOON - YOUNG, OLD: NOON - OLD},
        ended_after=NOON - 3 * OLD,
        looks=Looks((NOON,), (Seen("7", None, NOON - MINUTE, NOON, NOON),)),
        again=(Again(NOON, NOON + MINUTE),),
        waiting={"flow": Waiting(NOON, NOON + MINUTE, NOON - OLD, NOON)},
        done=sum_of(Marks(), [(mark_of("f", "g"), NOON)]),
    )
    stored = (
        '{"read":{"480":1795348320000,"3600":1795345200000},"ended_after":1795338000000,"started_from":null,'
        '"looks":[1795348800000],"seen":[["7",null,1795348740000,1795348800000,1795348800000]],"blind":null,'
        '"again":[[1795348800000,1795348860000]],'
        '"waiting":{"flow":[1795348800000,1795348860000,1795345200000,1795348800000]},"done":{"498708":"Jm2AAUenyy9a"}}'
    )
    assert (to_text(position), from_text(stored)) == (stored, position)


@given(st.text() | st.recursive(st.none() | st.integers() | st.text(), st.lists).map(json.dumps))
def test_other_text_is_no_position(text: str) -> None:
    with pytest.raises(PositionUnreadable, match="start over"):
        from_text(text)


@pytest.mark.parametrize(
    ("start", "end", "young", "old"),
    [
        (-60, -30, -30, -90),
        (-60, -4, -8, -90),
        (-90, -30, -30, -60),
        (-50, -30, -60, -90),
        (-90, -70, -60, -70),
    ],
    ids=["what is new", "too young at its end", "both", "a gap is left", "only what is old"],
)
def test_each_age_has_come_as_far_as_was_read_at_that_age_without_a_gap(
    start: int, end: int, young: int, old: int
) -> None:
    position = WindowPosition({YOUNG: NOON - 60 * MINUTE, OLD: NOON - 90 * MINUTE})
    read = read_between(position, NOON + start * MINUTE, NOON + end * MINUTE, NOON).read
    assert read == {YOUNG: NOON + young * MINUTE, OLD: NOON + old * MINUTE}


def test_marks_are_kept_as_long_as_their_calls_can_be_read_again() -> None:
    done = sum_of(Marks(), [("a" * 12, NOON - 3 * OLD), ("b" * 12, NOON)])
    position = WindowPosition({YOUNG: NOON - 3 * OLD, OLD: NOON - 3 * OLD}, done=done)
    done = read_between(position, NOON - 3 * OLD, NOON - YOUNG, NOON).done
    assert ("a" * 12 in done, "b" * 12 in done) == (False, True)


def test_of_too_many_marks_the_oldest_are_forgotten() -> None:
    done = sum_of(Marks(), [("a" * 12, NOON - OLD)])
    position = queued(WindowPosition({YOUNG: NOON}, done=done), [f"{n:012}" for n in range(15_000)], NOON, ())
    assert ("a" * 12 in position.done, "000000014999" in position.done) == (False, True)


def test_a_new_age_has_come_as_far_as_the_next_older_one() -> None:
    position = WindowPosition({YOUNG: NOON, OLD: NOON - OLD})
    ages = [YOUNG, 2 * YOUNG, 3 * OLD]
    assert position.of_ages(ages).read == {YOUNG: NOON, 2 * YOUNG: NOON - OLD, 3 * OLD: NOON - OLD}
    assert position.of_ages([YOUNG, OLD]) is position


def test_a_call_that_goes_on_waiting_keeps_its_first_time_and_its_earliest_row() -> None:
    position = WindowPosition({YOUNG: NOON})
    position = waits(position, ["a"], (NOON - OLD, NOON), NOON)
    position = waits(position, ["b", "a"], (NOON - YOUNG, NOON + OLD), NOON + OLD)
    assert position.waiting == {"b": Waiting(NOON, NOON, NOON - OLD, NOON + OLD)}
