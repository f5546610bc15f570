"""How a table is read in order of id: page by page, with a look behind the position for what was not there or not over.

That nothing is lost, whatever happens meanwhile, is shown for every reader in tests/contract/test_call_readers.py.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdr.calls.call import CallRecord
from cdr.calls.fingerprint import fingerprint
from cdr.calls.times import stands_for_no_time
from cdr.intake.id_order import position as id_position
from cdr.intake.id_order.position import Gap, IdPosition
from cdr.intake.id_order.reader import IdOrderReader, Row, RowPatience
from cdr.intake.ports import Batch, CallReader, Lag, Position, Progress, StartFrom
from shared.errors import PositionUnreadable, SourceMisconfigured
from tests.fakes.clock import HandMovedClock
from tests.fakes.row_table import InMemoryCallLog, InMemoryRows, InMemoryRowTable
from tests.support.events import Events
from tests.support.factories import make_raw_row, make_record
from tests.support.raw_rows import OTHER_COLUMNS, values

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
PATIENCE = RowPatience(gap_wait=timedelta(minutes=15), open_row_wait=timedelta(hours=24))
MOMENT = timedelta(milliseconds=1)
UNDER_WAY = {"ended_at": None, "duration_s": None}


@dataclass
class Site:
    """A table of calls, and a reader with pages of three who goes on from where he was."""

    clock: HandMovedClock = field(default_factory=lambda: HandMovedClock(NOON))
    table: InMemoryRowTable = field(default_factory=InMemoryRowTable)
    patience: RowPatience = PATIENCE
    text: Position | None = None
    read: list[int] = field(default_factory=list)
    meanwhile: Callable[[], None] = lambda: None
    """Happens after each batch."""

    @property
    def log(self) -> InMemoryCallLog:
        return InMemoryCallLog(self.table, self.clock, self.patience, page_size=3)

    def look(self, start: StartFrom = 0) -> list[Batch]:
        with self.log.connect() as reader:
            self.text = self.text or reader.begin(start)
            batches = []
            for batch in reader.batches(self.text):
                batches.append(batch)
                self.read += [int(record.id) for record in batch.records]
                self.text = batch.position
                self.meanwhile()
            return batches

    @property
    def position(self) -> IdPosition:
        assert self.text is not None
        return id_position.from_text(self.text)

    def add(self, *ids: int, **columns: Any) -> None:
        self.table.put(*(make_raw_row(id=row_id, **columns) for row_id in ids))

    def begin(self, *ids: int) -> None:
        self.add(*ids, **UNDER_WAY)


@pytest.fixture
def site() -> Site:
    return Site()


# Pages


def test_pages_follow_each_other_until_one_is_not_full(site: Site) -> None:
    site.add(*range(1, 6))
    first, second = site.look()
    at_three = id_position.to_text(IdPosition(3, anchor=fingerprint(make_record(id=3))))
    assert first == Batch([make_record(id=n) for n in (1, 2, 3)], at_three, read=3)
    assert [record.id for record in second.records] == ["4", "5"]
    assert site.table.operations == ["connect", "rows_after", "rows_after"]


def test_reading_on_costs_the_same_however_many_rows_were_read_before(site: Site) -> None:
    site.add(*range(1, 91))
    site.look()
    site.table.operations.clear()
    assert site.look() == []
    assert site.table.operations == ["connect", "rows_after"]


@pytest.mark.parametrize("before", [0, 1, 2, 3, 5], ids=lambda n: f"after {n} rows")
def test_an_id_that_comes_more_than_once_is_a_mistake_in_the_schema(clock: HandMovedClock, before: int) -> None:
    """In pages of three, within one or at its edge: the second row would be passed over, or be taken for the first."""

    class Joined(InMemoryRows):
        def rows_after(self, position: int | None, limit: int) -> list[Row]:
            ids = [*range(1, before + 2), before + 1, before + 2]
            return [Row(n, True, (make_record(id=n),)) for n in ids if position is None or n > position][:limit]

    reader = IdOrderReader(Joined(InMemoryRowTable()), clock, PATIENCE, page_size=3)
    with pytest.raises(SourceMisconfigured, match=rf"^3cx\.schema: the id {before + 1} comes more than once"):
        list(reader.batches(reader.begin(0)))


def test_of_calls_that_go_on_nothing_is_read_until_they_end_or_are_given_up(site: Site) -> None:
    site.begin(1, 2, 3)
    site.add(4)
    site.look()
    site.table.operations.clear()
    site.add(2)
    site.look()
    assert (site.read, site.table.operations) == ([4, 2], ["connect", "ended_among", "rows_after"])
    site.clock.move(PATIENCE.open_row_wait)
    site.look()
    assert (site.read, site.position.open_rows) == ([4, 2, 1, 3], {})


HISTORY = {
    "without an end": ({"ended_at": None}, None),
    "an end in the future": ({"ended_at": "2079-06-06 23:59:00"}, "its end lies in the future"),
}


@pytest.mark.parametrize(("end", "problem"), HISTORY.values(), ids=HISTORY)
def test_of_many_rows_that_began_too_long_ago_to_end_only_some_are_waited_for(
    end: dict[str, Any], problem: str | None
) -> None:
    site = Site(patience=replace(PATIENCE, most_open=1))
    site.add(1, 2, 5, 6, started_at="2026-11-21 12:00:00", **end)
    site.add(3, started_at="2026-11-21 12:00:01", **end)
    site.add(4, started_at="1970-01-01 00:00:00", **end)
    batches = site.look()
    told = [(record.id, record.values.get("problem")) for batch in batches for record in batch.records]
    assert (told, site.position.open_rows.keys()) == ([(row, problem) for row in ("2", "5", "6")], {1, 3, 4})


def test_a_long_call_that_has_just_ended_is_left_to_settle_all_the_same() -> None:
    site = Site(patience=replace(PATIENCE, settle=timedelta(seconds=30), most_open=0))
    site.add(1, started_at="2026-11-20 12:00:00", ended_at="2026-11-22 12:00:00")
    assert [batch.records for batch in site.look()] == [[]]


@pytest.mark.parametrize("jump", [1_000, 10**12])
def test_a_jump_of_ids_costs_one_look_more(site: Site, jump: int) -> None:
    site.add(1, jump)
    site.look()
    site.table.operations.clear()
    site.look()
    assert site.table.operations == ["connect", "rows_in", "rows_after"]
    assert site.position == IdPosition(jump, {}, (Gap(2, jump - 1, NOON),))


def test_several_people_may_get_an_entry_of_one_row(clock: HandMovedClock) -> None:
    class Transferred(InMemoryRows):
        def rows_after(self, position: int | None, limit: int) -> list[Row]:
            return (
                [Row(7, ended=True, records=(make_record(id="7/1"), make_record(id="7/2")))] if position is None else []
            )

    reader = IdOrderReader(Transferred(InMemoryRowTable()), clock, PATIENCE)
    (batch,) = reader.batches(reader.begin("beginning"))
    assert ([record.id for record in batch.records], batch.read) == (["7/1", "7/2"], 1)


def is_far_ahead(end: Any) -> bool:
    try:
        moment = datetime.fromisoformat(str(end).strip())
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)) > NOON + timedelta(days=1)
    except ValueError:
        return False


@given(st.lists(st.fixed_dictionaries({column: values() for column in OTHER_COLUMNS}), max_size=5))
def test_strange_rows_hold_up_nobody(rows: list[dict[str, Any]]) -> None:
    site = Site()
    site.table.put(*({"id": n, **row} for n, row in enumerate(rows, start=1)))
    site.add(len(rows) + 1)
    site.look()
    ends = {n: CallRecord.from_row(row).values["ended_at"] for n, row in site.table.rows.items()}
    assert site.read == [n for n, end in ends.items() if not (stands_for_no_time(end) or is_far_ahead(end))]
    assert len(site.position.open_rows) == len(rows) + 1 - len(site.read)


def test_a_late_row_between_even_steps_comes_too_and_nothing_twice(site: Site) -> None:
    site.add(*range(1, 30, 3))
    site.look()
    site.add(5, 15)
    site.look()
    assert site.read == [*range(1, 30, 3), 5, 15]


def test_a_long_history_in_even_steps_is_come_by_once_more_when_the_wait_is_over(site: Site) -> None:
    site.add(*range(2, 2_002, 2))
    site.look()
    site.table.operations.clear()
    site.add(1_001)
    site.look()
    assert "rows_in" not in site.table.operations
    site.clock.move(PATIENCE.gap_wait)
    site.meanwhile = lambda: site.clock.move(timedelta(seconds=1))  # the look is broken off, and gone on with
    for _ in range(40):
        site.look()
    assert site.read[1_000:] == [1_001]
    assert (len(site.read), site.position) == (1_001, IdPosition(2_000))


@pytest.mark.parametrize("late", [0, -1, -(10**9), 3])
def test_a_row_that_commits_below_the_first_one_comes(site: Site, late: int) -> None:
    site.add(4)
    site.look("beginning")
    site.add(late)
    site.look()
    assert site.read == [4, late]


# Rows that have not ended


def test_a_row_that_has_not_ended_is_passed_and_comes_once_it_has(site: Site) -> None:
    site.begin(1)
    site.add(2)
    site.look()
    site.clock.move(timedelta(hours=1))
    assert site.look() == []
    assert (site.read, site.position) == ([2], IdPosition(2, {1: NOON}))
    site.add(1)
    site.look()
    assert (site.read, site.position) == ([2, 1], IdPosition(2))


def test_a_row_that_ended_a_moment_ago_is_left_alone_until_it_has_settled() -> None:
    site = Site(patience=replace(PATIENCE, settle=timedelta(seconds=30)))
    site.table = InMemoryRowTable(timezone="Europe/Berlin")
    site.add(1, started_at=None, ended_at="2026-11-22 12:59:30")
    site.add(2, started_at=None, ended_at="2026-11-22 12:59:30.001", answered=None)
    site.add(3, started_at=None, ended_at="no time")
    site.add(4, started_at=None, ended_at="22.11.2026 12:59:31")
    site.look()
    assert (site.read, list(site.position.open_rows)) == ([1, 3], [2, 4])
    site.clock.move(MOMENT)
    site.add(2, started_at=None, ended_at="2026-11-22 12:59:30.001", answered=True)
    (batch,) = site.look()
    assert [record.values["answered"] for record in batch.records] == [True]


@pytest.mark.parametrize("end", ["2026-10-25 02:10:00", "25.10.2026 02:10:00", "Oct 25 2026 2:10AM"])
@pytest.mark.parametrize("hour", [0, 1], ids=["first-pass", "second-pass"])
def test_a_row_settles_also_in_the_hour_that_comes_twice_and_in_every_writing(end: str, hour: int) -> None:
    ended_at = datetime(2026, 10, 25, hour, 10, tzinfo=UTC)
    site = Site(HandMovedClock(ended_at + MOMENT), patience=replace(PATIENCE, settle=timedelta(minutes=10)))
    site.table = InMemoryRowTable(timezone="Europe/Berlin")
    site.add(1, started_at=None, ended_at=end)
    for moves, read in ((timedelta(), []), (timedelta(minutes=9), []), (timedelta(minutes=1), [1])):
        site.clock.move(moves)
        site.look()
        assert site.read == read


@pytest.mark.parametrize("settle", [timedelta(), timedelta(seconds=30)])
@pytest.mark.parametrize("end", ["2026-12-24 12:00:00", "2079-06-06", "2099-12-31 23:59:59"])
def test_a_row_whose_end_lies_in_the_future_is_still_on_and_given_up_with_that_reason(
    settle: timedelta, end: str
) -> None:
    site = Site(patience=replace(PATIENCE, settle=settle))
    site.add(1, 2, ended_at=end)
    assert [batch.records for batch in site.look()] == [[]]
    site.add(2)
    site.clock.move(PATIENCE.open_row_wait)
    (batch,) = site.look()
    assert [record.values.get("problem") for record in batch.records] == ["its end lies in the future", None]


def test_an_end_ahead_by_a_wrong_time_zone_or_clock_is_one() -> None:
    site = Site()
    site.add(1, ended_at="2026-11-23 11:59:00")
    site.look()
    assert site.read == [1]


def test_what_is_behind_comes_before_what_is_new_page_by_page(site: Site) -> None:
    site.begin(*range(1, 9))
    site.look()
    site.add(*range(1, 10))
    assert [len(batch.records) for batch in site.look()] == [3, 3, 2, 1]
    assert site.read == list(range(1, 10))


def test_a_database_that_is_slow_to_read_does_not_keep_what_is_behind_from_being_looked_at(site: Site) -> None:
    class SlowTable(InMemoryRowTable):
        @contextmanager
        def operation(self, name: str) -> Iterator[None]:
            site.clock.move(PATIENCE.look_for)
            with super().operation(name):
                yield

    site.table = SlowTable()
    site.begin(*range(1, 8))
    site.look()
    site.add(7)
    site.look()
    assert site.read == [7]


def test_a_row_that_never_ends_is_given_up_after_its_wait_as_a_record(site: Site) -> None:
    site.begin(1)
    site.look()
    site.clock.move(PATIENCE.open_row_wait - MOMENT)
    assert site.look() == []
    site.clock.move(MOMENT)
    (given_up,) = site.look()
    assert given_up.records == [make_record(id=1, **UNDER_WAY)]
    assert (site.position, site.look()) == (IdPosition(1), [])


def test_a_row_that_becomes_overdue_during_the_look_is_not_forgotten_unread(site: Site) -> None:
    site.begin(1, 2)
    site.look()
    site.clock.move(PATIENCE.open_row_wait - MOMENT)
    site.add(2)
    site.meanwhile = lambda: site.clock.move(timedelta(seconds=10))
    site.look()
    assert site.read == [2]
    site.look()
    assert site.read == [2, 1]


def test_an_open_row_that_vanished_is_forgotten_after_its_wait_and_said_so(site: Site, events: Events) -> None:
    site.begin(1)
    site.look()
    site.table.remove(1)
    site.clock.move(PATIENCE.open_row_wait - MOMENT)
    site.look()
    assert events.names == []
    site.clock.move(MOMENT)
    (forgotten,) = site.look()
    assert (forgotten.records, forgotten.read, site.position) == ([], 0, IdPosition(1))
    assert events.only("row.vanished") == {"event": "row.vanished", "row_id": 1, "level": "WARNING"}


# Ids that were missing


def test_a_row_that_is_committed_after_a_higher_id_was_read_comes(site: Site) -> None:
    site.add(1, 2, 5)
    site.look()
    site.add(3)
    site.begin(4)
    site.look()
    assert (site.read, site.position) == ([1, 2, 5, 3], IdPosition(5, {4: NOON}))


def test_missing_ids_are_looked_at_until_their_wait_is_over_and_a_last_time_then(site: Site) -> None:
    site.add(1, 4)
    site.look()
    site.clock.move(PATIENCE.gap_wait - MOMENT)
    site.look()
    site.add(2)
    site.clock.move(MOMENT)
    site.look()
    assert (site.read, site.position) == ([1, 4, 2], IdPosition(4))
    site.table.operations.clear()
    site.look()
    assert "rows_in" not in site.table.operations


def test_ids_whose_wait_ends_during_a_look_get_another_one(site: Site) -> None:
    site.add(1, 3, 5)
    site.look()
    site.clock.move(PATIENCE.gap_wait - MOMENT)
    site.add(2)
    site.meanwhile = lambda: site.clock.move(timedelta(seconds=10))
    site.look()
    site.add(4)
    site.look()
    assert site.read == [1, 3, 5, 2, 4]


# Where a first poll begins

DAY = datetime(2026, 11, 21, tzinfo=UTC)


@pytest.mark.parametrize(
    ("start", "there", "later", "read"),
    [
        pytest.param("beginning", [-3, 1, 2], [], [-3, 1, 2], id="the-beginning"),
        pytest.param("beginning", [4], [1, 2], [4, 1, 2], id="the-beginning-with-lower-ids-that-come-late"),
        pytest.param("now", [1, 2], [3], [3], id="now"),
        pytest.param("now", [], [1], [1], id="now-with-an-empty-table"),
        pytest.param(3, [1, 2, 3, 4, 5], [], [4, 5], id="an-id"),
        pytest.param(10, [1], [2, 10, 11], [11], id="an-id-beyond-the-newest-row"),
        pytest.param(DAY + timedelta(days=1), [1, 2], [3], [2, 3], id="a-moment"),
        pytest.param(datetime(2027, 1, 1, tzinfo=UTC), [1, 2], [3], [3], id="a-moment-that-is-still-to-come"),
        pytest.param(DAY, [], [5], [5], id="a-moment-with-an-empty-table"),
    ],
)
def test_the_first_poll_begins_where_it_is_told(
    site: Site, start: StartFrom, there: list[int], later: list[int], read: list[int]
) -> None:
    for row_id in there:
        site.add(row_id, started_at=DAY.replace(tzinfo=None) + timedelta(hours=15 * row_id))
    site.look(start)
    site.add(*later)
    site.look(start)
    assert site.read == read


# For people


def test_a_position_says_how_far_and_what_is_remembered(site: Site) -> None:
    site.begin(2, 3)
    site.add(9)
    site.look()
    assert site.log.progress(site.text or "") == Progress(position=9, open_calls=2, missing_ids=6)
    with site.log.connect() as reader:
        passed = {row_id: reader.has_passed(site.text or "", make_record(id=row_id)) for row_id in (2, 4, 9, 10, "9/2")}
        assert passed == {2: False, 4: False, 9: True, 10: False, "9/2": True}
        assert not reader.has_passed(id_position.to_text(IdPosition()), make_record(id=1))


@pytest.mark.parametrize(
    ("position", "rows", "lag"),
    [
        pytest.param(IdPosition(4), {4: {}}, Lag(4, 0, None), id="none"),
        pytest.param(IdPosition(4), {5: {}, 9: {}}, Lag(9, 5, NOON - timedelta(hours=2)), id="some-rows"),
        pytest.param(None, {9: {}}, Lag(9, 9, NOON - timedelta(hours=2)), id="before-the-very-first-poll"),
        pytest.param(IdPosition(4), {}, Lag(None, 0, None), id="an-empty-table"),
        pytest.param(IdPosition(4), {2: {}}, Lag(2, 0, None), id="beyond-the-newest-row"),
        pytest.param(IdPosition(4), {5: UNDER_WAY}, Lag(5, 1, None), id="a-row-that-has-not-ended"),
        pytest.param(IdPosition(4), {5: {"ended_at": "yesterday"}}, Lag(5, 1, None), id="an-end-that-is-no-time"),
    ],
)
def test_how_far_a_position_is_behind(site: Site, position: IdPosition | None, rows: dict[int, Any], lag: Lag) -> None:
    site.table = InMemoryRowTable(timezone="Europe/Berlin")
    for row_id, columns in rows.items():
        ended = {"started_at": "2026-11-22 10:50", "ended_at": "2026-11-22 11:00:00"}
        site.add(row_id, **ended | columns)
    with site.log.connect() as reader:
        assert reader.lag(position and id_position.to_text(position)) == lag


def test_calls_that_ended_within_a_span_come_by_pages(site: Site) -> None:
    site.add(*range(1, 6))
    site.add(6, ended_at=datetime.fromisoformat("2026-11-22 11:00"))
    start = NOON.replace(hour=10)
    with site.log.connect() as reader:
        pages = list(reader.ended_between(start, start + timedelta(hours=1)))
        reader.check()
    assert [[record.id for record in page] for page in pages] == [["1", "2", "3"], ["4", "5"]]


@pytest.mark.parametrize(
    "use",
    [
        lambda reader: list(reader.batches("damaged")),
        lambda reader: reader.has_passed("damaged", make_record()),
        lambda reader: reader.lag("damaged"),
    ],
    ids=["batches", "has_passed", "lag"],
)
def test_a_position_that_is_none_is_unreadable(site: Site, use: Callable[[CallReader], Any]) -> None:
    with site.log.connect() as reader, pytest.raises(PositionUnreadable):
        use(reader)
    with pytest.raises(PositionUnreadable):
        site.log.progress("damaged")
