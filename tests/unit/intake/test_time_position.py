"""A position among legs, which are read by when they end: what is stored goes on to mean the same."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdr.intake.queued_marks import Marks, mark_of
from cdr.intake.time_order.position import TimePosition, from_text, queued, read_up_to, to_text
from shared.errors import PositionUnreadable

NOON = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)

moments = st.integers(0, 10**15).map(lambda us: datetime(2020, 1, 1, tzinfo=UTC) + timedelta(microseconds=us))
maybe = st.none() | moments
marks = st.frozensets(st.text(max_size=9).map(lambda flow: mark_of(flow, None)), min_size=1, max_size=3)


def test_a_position_that_was_stored_goes_on_to_mean_the_same() -> None:
    position = queued(
        TimePosition(NOON - HOUR, NOON, NOON - 3 * HOUR, waiting={"flow": NOON}), [mark_of("f", "g")], NOON, ()
    )
    stored = (
        '{"read_from":1795345200000000,"newest_end":1795348800000000,"ended_after":1795338000000000,'
        '"started_from":null,"waiting":{"flow":1795348800000000},"done":{"498708":"Jm2AAUenyy9a"}}'
    )
    assert (to_text(position), from_text(stored)) == (stored, position)


@given(
    st.builds(
        TimePosition,
        maybe,
        maybe,
        maybe,
        maybe,
        st.dictionaries(st.text(max_size=9), moments, max_size=3),
        st.dictionaries(st.integers(0, 10**6), marks, max_size=3).map(Marks),
    )
)
def test_a_position_is_the_same_as_text(position: TimePosition) -> None:
    assert from_text(to_text(position)) == position


@given(st.text() | st.recursive(st.none() | st.integers() | st.text(), st.lists).map(json.dumps))
def test_other_text_is_no_position(text: str) -> None:
    with pytest.raises(PositionUnreadable, match="start over"):
        from_text(text)


def test_marks_are_kept_while_their_hour_is_looked_at_again() -> None:
    position = queued(queued(TimePosition(NOON - HOUR, NOON), ["old"], NOON - HOUR, ()), ["new"], NOON, ())
    assert "old" in read_up_to(position, NOON + HOUR, NOON + HOUR, HOUR + timedelta(seconds=1)).done
    later = read_up_to(position, NOON + HOUR, NOON + HOUR, HOUR).done
    assert ("old" in later, "new" in later) == (False, True)
