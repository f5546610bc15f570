"""The arithmetic of ids: a position passes rows that have not ended and ids that are missing, and forgets neither."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdr.intake.id_order.position import (
    LOWEST,
    Gap,
    IdPosition,
    Range,
    Seen,
    advance,
    come_by,
    forget,
    from_text,
    has_passed,
    is_looked_for,
    look_again,
    overdue,
    to_look_at_again,
    to_text,
)
from shared.errors import PositionUnreadable

NOON = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
LATER = NOON + timedelta(minutes=1)
GAP_WAIT = timedelta(minutes=15)
OPEN_ROW_WAIT = timedelta(hours=24)
HIGHEST_ID = 2**63 - 1


def _ended(*ids: int) -> list[Seen]:
    return [Seen(row_id, ended=True) for row_id in ids]


def _open(*ids: int) -> list[Seen]:
    return [Seen(row_id, ended=False) for row_id in ids]


def _gaps(*ranges: Range) -> tuple[Gap, ...]:
    return tuple(Gap(first, last, NOON) for first, last in ranges)


def _ids(ranges: Sequence[Range]) -> list[int]:
    return [row_id for first, last in ranges for row_id in range(first, last + 1)]


# A page beyond it


@pytest.mark.parametrize(
    ("last", "ids", "gaps", "missing"),
    [
        pytest.param(None, [1, 2, 3], [(LOWEST, 0)], 0, id="zero-and-below-before-a-first-row-are-rare"),
        pytest.param(None, [4, 5], [(LOWEST, 3)], 3, id="something-may-be-missing-before-the-first-row"),
        pytest.param(None, [-2, 0], [(LOWEST, -3), (-1, -1)], 1, id="also-before-one-below-zero"),
        pytest.param(7, [8, 9], [], 0, id="without-a-gap"),
        pytest.param(7, [8, 12, 20], [(9, 11), (13, 19)], 10, id="many-missing-within-the-page"),
        pytest.param(7, [10**18], [(8, 10**18 - 1)], 10**18 - 8, id="a-jump-costs-one-gap"),
    ],
)
def test_ids_that_a_page_skips_become_gaps(last: int | None, ids: list[int], gaps: list[Range], missing: int) -> None:
    after = advance(IdPosition(last), _ended(*ids), NOON)
    assert after == IdPosition(ids[-1], {}, _gaps(*gaps))
    assert after.missing == missing


@pytest.mark.parametrize("step", [2, 3, 10])
def test_even_steps_are_one_gap_a_page_however_long_the_history_is(step: int) -> None:
    position = IdPosition(0)
    for page in range(200):
        rows = _ended(*range(1 + page * 100 * step, 1 + (page + 1) * 100 * step, step))
        position = advance(position, rows, NOON + page * timedelta(seconds=1))
    assert (len(position.gaps), position.missing) == (200, position.last - 20_000)
    assert len(to_text(position)) < 10_000
    assert to_look_at_again(position, LATER, GAP_WAIT) == [], "not at each poll, but once, when the wait is over"
    assert len(to_look_at_again(position, NOON + GAP_WAIT + timedelta(seconds=50), GAP_WAIT)) == 51


def test_rows_without_an_end_are_remembered_with_the_moment_they_were_first_seen() -> None:
    before = IdPosition(7, {3: NOON}, _gaps((5, 6)))
    after = advance(before, [*_open(8), *_ended(9), *_open(11)], LATER)
    assert after == IdPosition(11, {3: NOON, 8: LATER, 11: LATER}, (*_gaps((5, 6)), Gap(10, 10, LATER)))
    assert advance(after, [], LATER) == after


# A look behind it


def test_a_row_that_has_ended_leaves_the_position_and_a_late_one_that_has_not_is_remembered_from_now_on() -> None:
    before = IdPosition(10, {5: NOON, 6: NOON}, _gaps((3, 3)))
    assert look_again(before, iter([*_ended(5), *_open(6, 3)]), LATER) == IdPosition(10, {3: LATER, 6: NOON})


History = tuple[IdPosition, list[int], set[int]]


def _history(pieces: list[tuple[int, int, bool]]) -> History:
    """Rows in even steps and in others, some of which have not ended; with the ids of these and of what was missing."""
    there: dict[int, bool] = {}
    last = 0
    for step, times, ended in pieces:
        for _ in range(times):
            last += step
            there[last] = ended
    position = advance(IdPosition(0), [Seen(row_id, ended) for row_id, ended in there.items()], NOON)
    return position, [n for n, ended in there.items() if not ended], set(range(1, last + 1)) - there.keys()


HISTORIES = st.lists(
    st.tuples(st.integers(1, 5), st.integers(1, 6), st.sampled_from([True, True, False])), min_size=1, max_size=12
).map(_history)


@given(HISTORIES, st.data())
def test_exactly_what_is_remembered_is_looked_for_in_few_ranges_until_it_is_found(
    history: History, data: st.DataObject
) -> None:
    position, opened, missing = history
    looked_for = sorted([*opened, *missing])
    assert position.missing == len(missing)
    ranges = to_look_at_again(position, LATER, GAP_WAIT, position.open_rows)
    assert all(first[1] + 1 < second[0] for first, second in pairwise(ranges))
    everything = range(-2, (position.last or 0) + 3)
    for _ in range(3):
        assert [n for n in everything if is_looked_for(position, n)] == looked_for
        assert set(looked_for) <= set(_ids(to_look_at_again(position, LATER, GAP_WAIT, position.open_rows)))
        assert [n for n in everything if not has_passed(position, n)] == sorted({*looked_for, *everything[-2:]})
        found = data.draw(st.sets(st.sampled_from([*looked_for, 99])))
        position = look_again(position, _ended(*found), LATER)
        looked_for = [row_id for row_id in looked_for if row_id not in found]
        assert from_text(to_text(position)) == position
    assert {gap.missed_at for gap in position.gaps} <= {NOON}


@given(HISTORIES, st.data())
def test_a_long_last_look_can_be_gone_on_with_where_it_was_broken_off(history: History, data: st.DataObject) -> None:
    position, opened, missing = history
    seen = data.draw(st.integers(0, position.last or 0))
    for now, is_last in ((LATER, False), (NOON + GAP_WAIT, True)):
        left = come_by(position, seen, now, GAP_WAIT)
        kept = {n for n in missing if is_looked_for(left, n)} - set(opened)
        assert {n for n in missing if n > seen} <= kept
        assert is_last or left == position
        asked = _ids(to_look_at_again(left, now, GAP_WAIT, left.open_rows))
        assert len(asked) <= len(_ids(to_look_at_again(position, now, GAP_WAIT, position.open_rows)))


# What is not worth another look


@pytest.mark.parametrize(
    ("waited", "is_kept"),
    [
        pytest.param(GAP_WAIT - timedelta(microseconds=1), True, id="just-before"),
        pytest.param(GAP_WAIT, False, id="at-the-end-of-the-wait"),
        pytest.param(timedelta(days=-1), True, id="a-clock-that-goes-backwards"),
    ],
)
def test_a_gap_is_forgotten_when_no_transaction_can_fill_it_any_more(waited: timedelta, is_kept: bool) -> None:  # noqa: FBT001
    before = IdPosition(10, {}, _gaps((3, 4)))
    assert forget(before, NOON + waited, GAP_WAIT, OPEN_ROW_WAIT) == (before if is_kept else IdPosition(10))


def test_a_row_that_does_not_end_for_too_long_is_overdue_and_forgotten() -> None:
    position = IdPosition(10, {3: NOON, 4: NOON + timedelta(seconds=1)})
    at = NOON + OPEN_ROW_WAIT
    assert overdue(position, at, OPEN_ROW_WAIT) == {3}
    assert overdue(position, at - timedelta(seconds=1), OPEN_ROW_WAIT) == set()
    assert forget(position, at, GAP_WAIT, OPEN_ROW_WAIT).open_rows.keys() == {4}


# Its text

MOMENTS = st.integers(0, 2**45).map(lambda n: datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=n))
IDS = st.integers(-(2**63), HIGHEST_ID)
GAPS = st.lists(st.builds(Gap, IDS, IDS, MOMENTS, st.integers(0, 9)), max_size=10).map(tuple)


@given(st.builds(IdPosition, st.none() | IDS, st.dictionaries(IDS, MOMENTS, max_size=10), GAPS))
def test_a_position_is_read_as_it_was_written(position: IdPosition) -> None:
    assert from_text(to_text(position)) == position


def test_times_are_kept_to_the_millisecond_and_never_become_later() -> None:
    written = IdPosition(7, {7: NOON + timedelta(microseconds=1999)})
    assert from_text(to_text(written)).open_rows == {7: NOON + timedelta(milliseconds=1)}


def test_what_1_0_0_wrote_is_read_and_the_same_is_written_today() -> None:
    quarter = Gap(7, 9, NOON + timedelta(milliseconds=250))
    positions = [
        IdPosition(),
        IdPosition(12, {5: NOON, 3: NOON + timedelta(seconds=1)}, (*_gaps((1, 1)), quarter)),
        IdPosition(HIGHEST_ID, {-7: NOON, 2**62: NOON}, _gaps((2**61, 2**62 - 1), (-3, 0))),
    ]
    texts = (Path(__file__).parents[2] / "data" / "v1" / "positions.jsonl").read_text().splitlines()
    assert [from_text(text) for text in texts] == positions
    assert [to_text(position) for position in positions] == texts


def _state(**changed: object) -> str:
    return json.dumps({"position": 7, "open": [3], "since": [0], "gaps": [5, 1, 0]} | changed)


def test_the_text_that_the_next_ones_damage_is_sound() -> None:
    assert from_text(_state()).gaps == (Gap(5, 6, datetime(1970, 1, 1, tzinfo=UTC)),)


@pytest.mark.parametrize(
    "text",
    [
        *("", "{", "7", "null", "[]", '"text"', "{}", "[" * 100_000),
        *(_state(position=value) for value in ("7", 7.0, True, [7])),
        *(_state(open=value) for value in ([], [3, 4], ["3"], [3.5], [True], None, "3")),
        *(_state(since=value) for value in ([None], ["0"], [0.5], [10**18], [])),
        *(_state(steps=value) for value in ([1, 2], ["2"], {"5": 1}, 3)),
        *(_state(gaps=value) for value in ([5, 1], [5, 1, None], ["5", 1, 0], [5, 1.5, 0], {"5": 1}, None)),
    ],
    ids=lambda text: text[:70],
)
def test_a_damaged_text_is_unreadable(text: str) -> None:
    with pytest.raises(PositionUnreadable, match="the stored position is damaged"):
        from_text(text)


def test_five_thousand_open_rows_and_a_thousand_gaps_have_room_in_a_table() -> None:
    """Ids of 19 digits, as far apart as they can be, each row and gap with a moment of its own."""
    step, gap_step = HIGHEST_ID // 5_001, HIGHEST_ID // 1_001
    moments = (NOON + timedelta(milliseconds=i) for i in range(6_000))
    opened = {i * step: next(moments) for i in range(1, 5_001)}
    gaps = tuple(Gap(i * gap_step + 1, (i + 1) * gap_step - 1, next(moments)) for i in range(1, 1_001))
    assert len(to_text(IdPosition(HIGHEST_ID, opened, gaps))) <= 420_000
