"""A report that tells rows by their start is read until nothing can come of a call any more, and no longer."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any

import pytest

from cdr.calls.call import CallRecord
from cdr.intake.folding.fold import FoldOptions
from cdr.intake.folding.leg import Leg, Side
from cdr.intake.ports import Bearings, Lag, Position, StartFrom
from cdr.intake.window_order.reader import WindowOrderReader, progress
from cdr.intake.window_order.report import ReportPatience
from cdr.intake.window_order.under_way import UnderWay
from shared.errors import SourceMisconfigured
from tests.fakes.clock import HandMovedClock
from tests.fakes.report import InMemoryReport
from tests.support.events import Events
from tests.support.report_writings import Reported, time_id

NOON = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
OUTSIDE = Side("external_line", "10000", phone_number="+12025550141", is_incoming=True)
QUEUE, AGENT = Side("queue", "700"), Side("extension", "101")
ROOM = 420_000
"""Characters of a position."""


def at(minutes: float) -> datetime:
    return NOON + minutes * MINUTE


def row(start: float, end: float, to: Side = AGENT, **changed: Any) -> Leg:
    """Of the call that began at noon; it rings for six seconds."""
    answered = None if to is QUEUE else at(start + 0.1)
    number = f"row-{start}"
    leg = Leg(number, CALL, OUTSIDE, to, CALL, started_at=at(start), answered_at=answered, ended_at=at(end))
    return replace(leg, **changed)


CALL = time_id(NOON, 1)
WAITS = row(0, 2, QUEUE)
TALKS = row(1.9, 80)


class Desk:
    """A reader by hand, every half minute."""

    def __init__(self, start: StartFrom = "now", **patience: Any) -> None:
        self.clock = HandMovedClock(NOON - HOUR)
        self.report = InMemoryReport(self.clock)
        self.reader = WindowOrderReader(self.report, self.clock, ReportPatience(**patience), FoldOptions())
        self.position: Position = self.reader.begin(start)
        self.told: list[tuple[float, CallRecord]] = []

    def write(self, *legs: Leg, late: timedelta = timedelta()) -> None:
        self.report.rows += [Reported((leg.ended_at or NOON) + late, leg) for leg in legs]

    def look(self, most: int | None = None) -> None:
        for batch in islice(self.reader.batches(self.position), most):
            self.position = batch.position
            assert len(self.position) < ROOM
            assert all(self.reader.has_passed(self.position, record) for record in batch.records)
            self.told += [((self.clock.now() - NOON) / MINUTE, record) for record in batch.records]

    def until(self, minutes: float, every: timedelta = MINUTE / 2, most: int | None = None) -> None:
        while self.clock.now() < at(minutes):
            self.clock.move(min(every, at(minutes) - self.clock.now()))
            self.look(most)

    @property
    def waiting(self) -> int:
        return progress(self.position).open_calls

    def only(self) -> tuple[float, CallRecord]:
        (told,) = self.told
        return told


@pytest.fixture
def desk() -> Desk:
    return Desk()


# When a call is over


@pytest.mark.parametrize("late", [timedelta(), 5 * MINUTE], ids=["at once", "late"])
@pytest.mark.parametrize("listed", [True, False], ids=["listed", "not listed"])
def test_a_long_call_is_found_though_its_row_is_not_there_before_it_has_ended(
    desk: Desk, *, listed: bool, late: timedelta
) -> None:
    desk.write(row(0, 80), late=late)
    desk.until(0.5)
    desk.report.active = [UnderWay("7", at(0.1))] if listed else []
    desk.until(80)
    assert desk.told == []
    desk.report.active = []
    desk.until(140)
    when, record = desk.only()
    assert record.values["duration_s"] == round(79.9 * 60)
    assert when <= (87.5 if listed else 122)  # half as long again as the call took, at most


@pytest.mark.parametrize("named", [None, "101"], ids=["nobody is named", "the agent is named"])
def test_a_queue_s_row_is_no_missed_call_while_somebody_talks(desk: Desk, named: str | None) -> None:
    desk.write(replace(WAITS, continued_in=named), TALKS)
    desk.until(0)
    desk.report.active = [UnderWay("7", None, at(0))]
    desk.until(2)
    desk.report.active = [UnderWay("7", at(2))]
    desk.until(80)
    assert (desk.told, desk.waiting) == ([], 1)
    desk.report.active = []
    desk.until(100)
    when, record = desk.only()
    assert when <= 87.5
    assert (record.id, record.values["extension"], record.values["call_group_id"]) == (CALL, "101", "700")


def test_a_queue_s_row_that_names_its_agent_waits_for_him_also_where_nothing_is_said_to_be_under_way(
    desk: Desk,
) -> None:
    desk.write(replace(WAITS, continued_in="101"), TALKS)
    desk.report.may_see = False
    desk.until(240, every=2 * MINUTE)
    _, record = desk.only()
    assert record.values["answered"] is True


def test_what_began_earlier_or_later_keeps_no_call_waiting(desk: Desk) -> None:
    desk.write(row(0, 1))
    desk.report.active = [UnderWay("6", at(-30))]
    desk.until(8)
    desk.report.active.append(UnderWay("8", at(8)))
    desk.until(10)
    when, _ = desk.only()
    assert when <= 9.5


def test_where_it_is_not_seen_what_is_under_way_a_call_is_over_when_quiet_for_an_hour(
    desk: Desk, events: Events
) -> None:
    desk.report.may_see = False
    desk.write(row(0, 5))
    desk.until(90)
    when, _ = desk.only()
    assert 65 <= when < 80
    assert "may not see" in events.only("source.blind")["reason"]


def test_that_for_once_it_is_not_seen_what_is_under_way_does_not_make_a_call_over(desk: Desk) -> None:
    desk.write(WAITS, row(1.9, 200))
    desk.until(0)
    desk.report.active = [UnderWay("7", None, at(0))]
    desk.until(100)
    desk.report.may_see = False
    desk.until(100.5)
    assert (desk.told, desk.waiting) == ([], 1)


def test_what_a_phone_system_with_another_time_says_to_be_under_way_is_not_held_against_its_records(
    desk: Desk, events: Events
) -> None:
    desk.until(0)
    desk.report.active = [UnderWay("7", at(0), at(0), told_at=at(-3))]
    desk.write(row(0, 1))
    desk.until(30, every=HOUR)
    assert desk.told == []
    assert "clock" in events.only("source.blind")["reason"]


def test_after_the_wait_for_open_rows_a_call_that_never_became_whole_is_told_with_what_it_lacks(desk: Desk) -> None:
    desk.write(replace(WAITS, continued_in="101"))
    desk.until(25 * 60, every=10 * MINUTE)
    when, record = desk.only()
    assert when >= 24 * 60
    assert "goes on in a leg that is not there" in str(record.values["problem"])
    assert desk.waiting == 0


def test_a_call_whose_rows_have_gone_is_not_waited_for(desk: Desk, events: Events) -> None:
    desk.write(row(0, 5))
    desk.until(10)
    assert desk.waiting == 1
    desk.report.rows = []
    desk.until(20)
    assert (desk.told, desk.waiting) == ([], 0)
    assert events.only("row.vanished")["row_id"] == CALL


def test_a_forwarding_loop_is_told_as_such(desk: Desk) -> None:
    desk = Desk(most_legs=10)
    desk.write(*(row(n / 10, n / 10 + 0.1) for n in range(11)))
    desk.until(20)
    _, record = desk.only()
    assert record.values["problem"] == "The call has more than 10 rows"


def test_flows_that_turn_out_to_be_one_call_are_told_in_place_of_what_they_were(desk: Desk, events: Events) -> None:
    earlier = time_id(at(-1), 1)
    desk.write(row(0, 1), late=MINUTE)
    desk.until(15)
    assert desk.only()[1].id == CALL
    parts = [replace(leg, flow=earlier) for leg in (row(-1, 1), row(1, 3, Side("extension", "102")))]
    desk.report.rows = []
    desk.write(*(replace(leg, main_flow=earlier) for leg in (row(0, 1), *parts)), late=15 * MINUTE)
    desk.until(60)
    _, (_, record) = desk.told
    assert (record.id, [old.id for old in record.replaces]) == (earlier, [CALL])
    assert events.only("call.merged_late")["flows"] == [earlier, CALL]


def test_a_call_that_was_given_up_is_told_once_whatever_of_it_is_read_again(desk: Desk) -> None:
    desk.write(row(0, 80, ended_at=None))
    desk.until(60 * 30, every=HOUR)
    _, record = desk.only()
    assert record.values["problem"]
    desk.write(row(1, 2, Side("extension", "102"), ended_at=None), late=30 * HOUR)
    desk.until(60 * 60, every=HOUR)
    assert len(desk.told) == 1


# Where to begin


@pytest.mark.parametrize(
    ("start", "told"),
    [("beginning", [-90, -30, -10]), ("now", [-10]), (at(-45), [-30, -10])],
    ids=["beginning", "now", "a date"],
)
def test_a_first_poll_begins_where_it_was_told_to(start: StartFrom, told: list[int]) -> None:
    """One call is over by an hour before noon, one is under way then, and one begins later."""
    desk = Desk(start)
    desk.report.widest = timedelta(days=7)
    begun = {-90: -61, -30: -29, -10: -9} if start != "now" else {-90: -61, -65: -50, -10: -9}
    desk.write(*(row(since, until, flow=time_id(at(since), 1), main_flow=None) for since, until in begun.items()))
    desk.until(10)
    starts = sorted(datetime.fromisoformat(str(record.values["started_at"])) for _, record in desk.told)
    assert starts == [at(since) for since in ([-65, -10] if start == "now" else told)]


def test_this_source_has_no_ids_to_begin_after(desk: Desk) -> None:
    with pytest.raises(SourceMisconfigured, match="start_from"):
        desk.reader.begin(7)


def test_a_history_is_read_in_windows_and_the_position_stays_small() -> None:
    """Of the last day nothing is known to be over at the first look, so there it pauses."""
    desk = Desk(NOON - 24 * HOUR)
    for n in range(2_300):
        start = -n * 0.6
        desk.write(row(start, start + 0.5, flow=time_id(at(start), n), main_flow=None, id=f"row-{n}"))
    desk.until(-58, every=MINUTE)
    assert desk.told == []
    assert 1_500 <= desk.waiting < 2_000
    desk.until(15, every=12 * MINUTE)
    assert len(desk.told) == len({record.id for _, record in desk.told}) == 2_300
    assert max(end - start for start, end in desk.report.read) <= desk.report.widest


def test_who_stops_after_each_batch_comes_to_the_end_too(desk: Desk) -> None:
    desk.write(*(row(n, n + 0.5, flow=time_id(at(n), n), main_flow=None) for n in range(20)))
    desk.until(90, every=MINUTE / 6, most=2)
    assert len(desk.told) == 20


def test_a_poll_reads_no_more_than_what_is_new_and_what_is_due(desk: Desk) -> None:
    desk.until(600, every=5 * MINUTE)
    desk.report.read = []
    desk.until(1_200)
    read = sum(((end - start) for start, end in desk.report.read), timedelta())
    assert read < 15 * 600 * MINUTE  # each moment at each of 14 ages


# What else it tells


def test_a_call_has_passed_once_it_is_told_or_must_have_been_found(desk: Desk) -> None:
    desk.write(row(0, 40), row(1, 2, flow=time_id(at(1), 2), main_flow=None))
    before = desk.position
    desk.until(200)
    for _, record in desk.told:
        assert (desk.reader.has_passed(before, record), desk.reader.has_passed(desk.position, record)) == (False, True)
    later = CallRecord("x", {"started_at": at(150).isoformat(), "ended_at": at(199).isoformat()})
    older = CallRecord("x", {"started_at": at(150).isoformat(), "ended_at": at(151).isoformat()})
    never = CallRecord("x", {"started_at": None, "ended_at": at(151).isoformat()})
    assert [desk.reader.has_passed(desk.position, record) for record in (later, older, never)] == [False, True, False]


def test_a_report_that_was_emptied_shows(desk: Desk) -> None:
    desk.until(1)
    assert desk.reader.bearings(desk.position) == Bearings(None, None)
    desk.write(row(0, 1))
    desk.until(20)
    assert desk.reader.bearings(desk.position).newest == NOON
    desk.report.rows = []
    assert desk.reader.bearings(desk.position).newest is None
    assert desk.reader.bearings(desk.position).read


def test_how_far_it_is_behind(desk: Desk) -> None:
    assert desk.reader.lag(None) == Lag(None, 0, None)
    desk.write(row(0, 1))
    desk.until(5)
    before = desk.position
    assert desk.reader.lag(before) == Lag("2026-11-22T12:00:00+00:00", 0, None)
    desk.until(20)
    assert desk.reader.lag(desk.position).waiting_since is None
    assert desk.reader.lag(before).waiting_since == at(-3)


def test_calls_are_found_by_their_end_whole_and_once(desk: Desk) -> None:
    desk.write(WAITS, TALKS, row(85, 86, flow=time_id(at(85), 2), main_flow=None))
    desk.report.widest = 30 * MINUTE
    desk.until(100, every=HOUR)

    def ended_between(start: float, end: float) -> Iterator[str]:
        return (record.id for page in desk.reader.ended_between(at(start), at(end)) for record in page)

    assert list(ended_between(80, 86)) == [CALL]
    assert list(ended_between(0, 1_000)) == [CALL, time_id(at(85), 2)]
    assert list(ended_between(0, 80)) == []


def test_the_newest_calls_that_are_over_come_first(desk: Desk) -> None:
    flows = {start: time_id(at(start), 1) for start in (-500, -40, 0, 30)}
    desk.write(*(row(start, start + 5, flow=flow, main_flow=None) for start, flow in flows.items()))
    desk.clock.move(100 * MINUTE)
    desk.report.active = [UnderWay("7", at(33))]
    desk.reader.check()
    assert [record.id for record in desk.reader.newest(2)] == [flows[0], flows[-40]]
    assert [record.id for record in desk.reader.newest(9)] == [flows[0], flows[-40], flows[-500]]


def test_a_call_is_read_again_whole_as_it_is_by_now(desk: Desk) -> None:
    desk.write(row(0, 1))
    desk.until(20)
    _, record = desk.only()
    desk.report.rows = []
    desk.write(row(0, 1, Side("extension", "102")))
    assert [each.values["extension"] for each in desk.reader.again(record)] == ["102"]
    assert desk.reader.again(replace(record, values={**record.values, "started_at": None})) == ()
