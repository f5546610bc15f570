"""The checkpoint's arithmetic: it passes rows that have not ended and ids that are missing, and forgets neither."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cdr.intake.id_order import Checkpoint, Gap, Range, Seen, advance, forget, look_again, overdue, to_look_at_again

NOON = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
LATER = NOON + timedelta(minutes=1)
GAP_WAIT = timedelta(minutes=15)
OPEN_ROW_WAIT = timedelta(hours=24)


def _ended(*ids: int) -> list[Seen]:
    return [Seen(row_id, ended=True) for row_id in ids]


def _ids(ranges: Sequence[Range]) -> list[int]:
    return [row_id for first, last in ranges for row_id in range(first, last + 1)]


def _open(*ids: int) -> list[Seen]:
    return [Seen(row_id, ended=False) for row_id in ids]


@pytest.mark.parametrize(
    ("position", "ids", "gaps"),
    [
        pytest.param(None, [1, 2, 3], [], id="from-the-first-row"),
        pytest.param(None, [4, 5], [(1, 3)], id="something-may-be-missing-before-the-first-row"),
        pytest.param(None, [-2, 0], [(-1, -1)], id="nothing-is-missing-before-a-first-row-below-1"),
        pytest.param(7, [8, 9], [], id="without-a-gap"),
        pytest.param(7, [9], [(8, 8)], id="one-missing-after-the-position"),
        pytest.param(7, [8, 12, 20], [(9, 11), (13, 19)], id="many-missing-within-the-page"),
        pytest.param(7, [10**18], [(8, 10**18 - 1)], id="a-jump-costs-one-gap"),
    ],
)
def test_ids_that_a_page_skips_become_gaps(position: int | None, ids: list[int], gaps: list[Range]) -> None:
    after = advance(Checkpoint(position), _ended(*ids), NOON)
    assert after == Checkpoint(ids[-1], {}, tuple(Gap(first, last, NOON) for first, last in gaps))


def test_a_page_without_rows_changes_nothing() -> None:
    before = Checkpoint(7, {3: NOON}, (Gap(5, 6, NOON),))
    assert advance(before, [], LATER) == before


def test_rows_without_an_end_are_remembered_with_the_moment_they_were_first_seen() -> None:
    before = Checkpoint(7, {3: NOON}, (Gap(5, 6, NOON),))
    after = advance(before, [*_open(8), *_ended(9), *_open(11)], LATER)
    assert after == Checkpoint(11, {3: NOON, 8: LATER, 11: LATER}, (Gap(5, 6, NOON), Gap(10, 10, LATER)))


@pytest.mark.parametrize(
    ("open_ids", "gaps", "ranges"),
    [
        pytest.param([], [], [], id="nothing"),
        pytest.param([5], [], [(5, 5)], id="one-row"),
        pytest.param([7, 5], [], [(5, 5), (7, 7)], id="ascending"),
        pytest.param([5, 6, 7], [], [(5, 7)], id="neighbours"),
        pytest.param([5, 9], [(6, 8)], [(5, 9)], id="a-row-a-gap-a-row"),
        pytest.param([1], [(3, 4), (6, 9)], [(1, 1), (3, 4), (6, 9)], id="apart"),
        pytest.param([], [(3, 4), (5, 9)], [(3, 9)], id="gaps-side-by-side"),
    ],
)
def test_what_is_behind_the_position_is_asked_for_in_few_ranges(
    open_ids: list[int], gaps: list[Range], ranges: list[Range]
) -> None:
    checkpoint = Checkpoint(10, dict.fromkeys(open_ids, NOON), tuple(Gap(*gap, NOON) for gap in gaps))
    assert to_look_at_again(checkpoint) == ranges


def test_a_row_that_has_ended_leaves_the_checkpoint() -> None:
    before = Checkpoint(10, {5: NOON, 6: NOON})
    assert look_again(before, [*_ended(5), *_open(6)], LATER) == Checkpoint(10, {6: NOON})


@pytest.mark.parametrize(
    ("found", "left"),
    [
        pytest.param([], [(3, 8)], id="nothing"),
        pytest.param([3], [(4, 8)], id="its-first"),
        pytest.param([8], [(3, 7)], id="its-last"),
        pytest.param([5], [(3, 4), (6, 8)], id="one-in-the-middle"),
        pytest.param([4, 6], [(3, 3), (5, 5), (7, 8)], id="two-in-the-middle"),
        pytest.param([3, 4, 5, 6, 7, 8], [], id="all"),
        pytest.param([2, 9], [(3, 8)], id="only-neighbours"),
        pytest.param([5, 5], [(3, 4), (6, 8)], id="one-twice"),
    ],
)
def test_a_late_row_fills_its_place_in_a_gap(found: list[int], left: list[Range]) -> None:
    before = Checkpoint(10, {2: NOON, 9: NOON}, (Gap(3, 8, NOON),))
    after = look_again(before, _ended(*found), LATER)
    assert after.gaps == tuple(Gap(first, last, NOON) for first, last in left)
    assert after.position == 10


def test_a_late_row_that_has_not_ended_is_remembered_from_now_on() -> None:
    before = Checkpoint(10, {}, (Gap(3, 3, NOON),))
    assert look_again(before, _open(3), LATER) == Checkpoint(10, {3: LATER})


def test_rows_come_in_any_order_when_looked_at_again() -> None:
    before = Checkpoint(10, {9: NOON}, (Gap(3, 5, NOON),))
    assert look_again(before, iter(_ended(9, 5, 3)), LATER) == Checkpoint(10, {}, (Gap(4, 4, NOON),))


@pytest.mark.parametrize(
    ("waited", "is_kept"),
    [
        pytest.param(GAP_WAIT - timedelta(microseconds=1), True, id="just-before"),
        pytest.param(GAP_WAIT, False, id="at-the-end-of-the-wait"),
        pytest.param(timedelta(days=-1), True, id="a-clock-that-goes-backwards"),
    ],
)
def test_a_gap_is_forgotten_when_no_transaction_can_fill_it_any_more(waited: timedelta, is_kept: bool) -> None:  # noqa: FBT001
    before = Checkpoint(10, {}, (Gap(3, 4, NOON),))
    after = forget(before, NOON + waited, GAP_WAIT, OPEN_ROW_WAIT)
    assert after == (before if is_kept else Checkpoint(10))


def test_a_row_that_does_not_end_for_too_long_is_overdue_and_forgotten() -> None:
    checkpoint = Checkpoint(10, {3: NOON, 4: NOON + timedelta(seconds=1)})
    at = NOON + OPEN_ROW_WAIT
    assert overdue(checkpoint, at, OPEN_ROW_WAIT) == {3}
    assert overdue(checkpoint, at - timedelta(seconds=1), OPEN_ROW_WAIT) == set()
    assert forget(checkpoint, at, GAP_WAIT, OPEN_ROW_WAIT).open_rows.keys() == {4}


CHECKPOINTS = st.builds(
    lambda kinds: Checkpoint(
        len(kinds),
        {row_id: NOON for row_id, kind in enumerate(kinds, 1) if kind == "open"},
        tuple(Gap(row_id, row_id, NOON) for row_id, kind in enumerate(kinds, 1) if kind == "missing"),
    ),
    st.lists(st.sampled_from(["open", "missing", "ended"]), max_size=30),
)


@given(CHECKPOINTS)
def test_exactly_what_is_remembered_is_asked_for(checkpoint: Checkpoint) -> None:
    ranges = to_look_at_again(checkpoint)
    asked = _ids(ranges)
    missing = _ids([(gap.first, gap.last) for gap in checkpoint.gaps])
    assert asked == sorted({*checkpoint.open_rows, *missing})
    assert all(first[1] + 1 < second[0] for first, second in pairwise(ranges))


@given(CHECKPOINTS, st.data())
def test_what_is_found_leaves_the_checkpoint_and_nothing_else_does(checkpoint: Checkpoint, data: st.DataObject) -> None:
    asked = _ids(to_look_at_again(checkpoint))
    found = data.draw(st.lists(st.sampled_from(asked), unique=True) if asked else st.just([]))
    after = look_again(checkpoint, _ended(*found), LATER)
    still = _ids(to_look_at_again(after))
    assert still == [row_id for row_id in asked if row_id not in found]


@dataclass
class _Phone:
    """A table whose ids are given at the insert and seen from the commit on; a row may end before or after that."""

    committed: dict[int, bool] = field(default_factory=dict)
    newest: int = 0

    def rows(self, ids: Sequence[int]) -> list[Seen]:
        return [Seen(row_id, self.committed[row_id]) for row_id in sorted(ids) if row_id in self.committed]


@dataclass
class _Poller:
    """Polls as the use case does: first behind the position, then pages beyond it."""

    phone: _Phone
    checkpoint: Checkpoint = field(default_factory=Checkpoint)
    queued: Counter[int] = field(default_factory=Counter)

    def poll(self, now: datetime, page_size: int) -> None:
        self._take(behind := self.phone.rows(_ids(to_look_at_again(self.checkpoint))))
        self.checkpoint = look_again(self.checkpoint, behind, now)
        self.checkpoint = forget(self.checkpoint, now, GAP_WAIT, OPEN_ROW_WAIT)
        beyond = self.phone.rows([i for i in self.phone.committed if i > (self.checkpoint.position or 0)])
        for start in range(0, len(beyond), page_size):
            page = beyond[start : start + page_size]
            self._take(page)
            self.checkpoint = advance(self.checkpoint, page, now)

    def _take(self, rows: Sequence[Seen]) -> None:
        self.queued.update(row.id for row in rows if row.ended)


# What may happen: a transaction begins, one of those under way commits (with its row ended or not) or is rolled back,
# an open row ends, some time passes, a poll.
HAPPENINGS = st.lists(
    st.one_of(
        st.tuples(st.just("begin"), st.integers(1, 3)),
        st.tuples(st.sampled_from(["commit ended", "commit open", "roll back", "end"]), st.integers(0, 10)),
        st.tuples(st.just("wait"), st.integers(1, 14)),
        st.tuples(st.just("poll"), st.integers(1, 3)),
    ),
    max_size=60,
)


@settings(max_examples=300)
@given(HAPPENINGS)
def test_every_row_that_commits_in_time_is_queued_once_and_no_open_row_is_forgotten(
    happenings: list[tuple[str, int]],
) -> None:
    phone, now = _Phone(), NOON
    poller = _Poller(phone)
    begun: dict[int, datetime] = {}
    for what, number in happenings:
        if what == "begin":
            for _ in range(number):
                phone.newest += 1
                begun[phone.newest] = now
        elif what == "wait":
            # No transaction lasts as long as a gap is waited for: the database's own timeouts see to it.
            now += timedelta(minutes=number)
            for row_id in [i for i, since in begun.items() if now - since >= GAP_WAIT]:
                del begun[row_id]
        elif what == "poll":
            poller.poll(now, page_size=number)
        elif what == "end" and (still_open := [i for i, ended in phone.committed.items() if not ended]):
            phone.committed[still_open[number % len(still_open)]] = True
        elif what in ("commit ended", "commit open", "roll back") and begun:
            row_id = list(begun)[number % len(begun)]
            del begun[row_id]
            if what != "roll back":
                phone.committed[row_id] = what == "commit ended"
        _check(phone, poller)
    poller.poll(now, page_size=2)
    _check(phone, poller)
    assert poller.queued.keys() == {row_id for row_id, ended in phone.committed.items() if ended}
    assert poller.checkpoint.open_rows.keys() == {row_id for row_id, ended in phone.committed.items() if not ended}


def _check(phone: _Phone, poller: _Poller) -> None:
    """Nothing twice, and every committed row is queued, remembered, or still ahead of the position."""
    assert all(times == 1 for times in poller.queued.values())
    asked = set(_ids(to_look_at_again(poller.checkpoint)))
    position = poller.checkpoint.position or 0
    assert all(i in poller.queued or i in asked or i > position for i in phone.committed)
