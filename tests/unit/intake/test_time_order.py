"""How a table of legs is read in order of their ends: what is waited for, how long, and what is told when.

That nothing is lost, whatever happens meanwhile, is shown for every reader in tests/contract/test_call_readers.py, and
for every way in which legs arrive in test_arrivals.py.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from cdr.calls.call import CallRecord, Reason
from cdr.calls.message import Message
from cdr.intake.folding.fold import FoldOptions
from cdr.intake.ports import CallReader, Lag, Position, Progress, StartFrom
from cdr.intake.queued_marks import mark_of
from cdr.intake.time_order import position as time_position
from cdr.intake.time_order.reader import LegPatience
from shared.errors import PositionUnreadable, SourceMisconfigured
from tests.fakes.clock import HandMovedClock
from tests.fakes.leg_table import InMemoryLegTable, InMemoryV20
from tests.support.events import Events
from tests.support.factories import make_leg_row, make_record
from tests.support.workshop import Workshop

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
SECOND, MINUTE, HOUR = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1)
PATIENCE = LegPatience(overlap=15 * MINUTE, settle=5 * MINUTE, open_row_wait=24 * HOUR, most_legs=50)


@dataclass
class Site:
    """A phone system with a clock of its own, and a reader with small pages who goes on from where he was."""

    clock: HandMovedClock = field(default_factory=lambda: HandMovedClock(NOON))
    server_clock: HandMovedClock = field(default_factory=lambda: HandMovedClock(NOON))
    text: Position | None = None
    told: list[CallRecord] = field(default_factory=list)
    options: FoldOptions = field(default_factory=FoldOptions)
    page_size: int = 3

    def __post_init__(self) -> None:
        self.table = InMemoryLegTable(self.server_clock)

    @property
    def source(self) -> InMemoryV20:
        return InMemoryV20(self.table, self.clock, PATIENCE, options=self.options, page_size=self.page_size)

    def answered(self, flow: str, at: datetime = NOON, **changed: Any) -> None:
        """A call that was over at once."""
        self.table.put(make_leg_row(f"{flow}-1", flow, at, cdr_answered_at=at, **changed))

    def missed(self, flow: str, at: datetime = NOON, **changed: Any) -> None:
        self.table.put(make_leg_row(f"{flow}-1", flow, at, **changed))

    def begun(self, flow: str, at: datetime = NOON) -> None:
        """A queue has put the caller through to somebody who still talks."""
        queue = make_leg_row(f"{flow}-1", flow, at, continued_in_cdr_id=f"{flow}-2", destination_entity_type="queue")
        self.table.put(queue)

    def finished(self, flow: str, at: datetime) -> None:
        self.table.put(make_leg_row(f"{flow}-2", flow, at, cdr_answered_at=NOON, base_cdr_id=f"{flow}-1"))

    def look(self, start: StartFrom = "beginning", *, most: int = 1_000) -> list[str]:
        """The ids of the records that this look has told."""
        before = len(self.told)
        with self.source.connect() as reader:
            self.text = self.text or reader.begin(start)
            for _, batch in zip(range(most), reader.batches(self.text), strict=False):
                self.told += batch.records
                self.text = batch.position
        return [record.id for record in self.told[before:]]

    def wait(self, span: timedelta) -> None:
        self.clock.move(span)
        self.server_clock.move(span)

    @property
    def remembered(self) -> Mapping[str, Any]:
        found: Mapping[str, Any] = json.loads(self.text or "{}")
        return found


@pytest.fixture
def site() -> Site:
    return Site()


# What is whole


def test_a_call_is_told_once_it_is_whole_and_not_again_within_the_overlap(site: Site) -> None:
    site.begun("a")
    assert site.look() == []
    site.wait(HOUR)
    site.finished("a", site.server_clock.now())
    assert site.look() == ["a"]
    site.wait(MINUTE)
    before = site.table.operations.count("legs_of")
    assert before > 0
    assert site.look() == []
    assert site.table.operations.count("legs_of") == before


def test_an_answered_call_does_not_wait_and_a_missed_one_until_no_late_leg_can_change_it(site: Site) -> None:
    site.answered("a")
    site.missed("b")
    assert site.look() == ["a"]
    site.wait(PATIENCE.settle - SECOND)
    site.table.put(make_leg_row("b-2", "b", NOON, destination_dn_number="102", cdr_started_at=NOON + SECOND))
    assert site.look() == []
    site.wait(SECOND)
    assert site.look() == ["b"]
    assert site.told[-1].values["extension"] == "102"
    assert site.look() == []


@pytest.mark.parametrize(
    "changed",
    [
        pytest.param({"source_participant_is_incoming": False, "destination_entity_type": "queue"}, id="outbound"),
        pytest.param(
            {"source_entity_type": "extension", "cdr_answered_at": NOON, "source_dn_number": "102"}, id="colleagues"
        ),
        pytest.param({"source_entity_type": "extension", "source_dn_number": "102"}, id="colleagues-in-vain"),
    ],
)
def test_what_we_begin_ourselves_may_be_told_to_be_a_consultation_as_late_as_any_leg(
    site: Site, changed: dict[str, Any]
) -> None:
    site.missed("a", **changed)
    site.wait(PATIENCE.overlap - SECOND)
    assert site.look() == []
    site.wait(SECOND)
    assert site.look() == ["a"]


def test_a_call_that_ended_long_ago_or_by_a_wrong_clock_far_ahead_has_settled(site: Site) -> None:
    site.missed("old", NOON - HOUR)
    site.missed("ahead", NOON + 400 * 24 * HOUR)
    assert site.look() == ["old", "ahead"]
    site.answered("next", NOON)
    assert site.look() == ["next"]
    assert site.look() == []


def test_a_call_that_settles_is_told_also_by_whoever_was_away_meanwhile(site: Site) -> None:
    site.missed("a")
    site.look()
    site.wait(3 * HOUR)
    site.answered("b", site.server_clock.now())
    assert sorted(site.look()) == ["a", "b"]


def test_a_flow_that_was_joined_to_one_that_is_not_there_waits_for_it(site: Site) -> None:
    site.answered("asks", main_call_history_id="main")
    assert site.look() == []
    site.answered("main")
    assert site.look() == ["asks"]  # both began at once, and the first by name is the call's
    site.answered("lost", main_call_history_id="never")
    assert site.look() == []
    site.wait(PATIENCE.open_row_wait)
    assert site.look() == ["lost"]
    assert site.told[-1].values["answered"] is True


# What never becomes whole


def test_a_call_whose_beginning_was_purged_is_told_from_what_is_there_after_its_wait(site: Site) -> None:
    site.answered("a", base_cdr_id="purged", originating_cdr_id="purged")
    site.look()
    site.wait(PATIENCE.open_row_wait - SECOND)
    assert site.look() == []
    site.wait(SECOND)
    assert site.look() == ["a"]
    assert (site.told[-1].values["answered"], site.told[-1].values.get("problem")) == (True, None)
    assert site.look() == []


def test_a_call_that_is_given_up_is_a_record_and_is_told_when_it_becomes_whole_after_all(site: Site) -> None:
    site.begun("a")
    site.look()
    site.wait(PATIENCE.open_row_wait)
    assert site.look() == ["a"]
    assert "goes on in a leg that is not there" in site.told[-1].values["problem"]
    assert site.look() == []
    site.wait(MINUTE)
    site.finished("a", site.server_clock.now())
    assert site.look() == ["a"]
    assert site.told[-1].values.get("problem") is None
    assert site.look() == []


def test_a_call_of_which_no_leg_ever_ends_is_given_up_once(site: Site) -> None:
    names = [f"b{number}" for number in range(site.page_size + 1)]
    site.answered("a")
    site.table.put(*(make_leg_row(name, name, NOON, cdr_ended_at=None) for name in names))
    assert site.look() == ["a"]
    told = []
    for number in range(60):
        site.wait(HOUR / 2)
        site.answered(f"a{number}", site.server_clock.now())
        told += [(name, number) for name in site.look() if name in names]
    assert told == [(name, 48) for name in names]
    given_up = next(record.values for record in site.told if record.id == "b0")
    assert (given_up["ended_at"], "never became whole" in given_up["problem"]) == (None, True)


def test_broken_calls_of_a_history_are_not_waited_for(site: Site) -> None:
    site.begun("a", NOON - 30 * 24 * HOUR)
    assert site.look() == ["a"]
    assert site.remembered["waiting"] == {}


def test_a_call_that_was_purged_while_it_was_waited_for_is_said_to_have_vanished(site: Site, events: Events) -> None:
    site.begun("a")
    site.look()
    site.table.purge("a-1")
    site.look()
    assert events.only("row.vanished")["row_id"] == "a"
    assert site.remembered["waiting"] == {}


def test_a_loop_of_thousands_of_legs_is_one_record_and_holds_up_nobody(site: Site) -> None:
    site.page_size = 2_000
    for number in range(1_200):
        site.table.add(make_leg_row(f"loop-{number}", "loop", NOON + number * timedelta(milliseconds=1)))
    site.missed("led-to-it", main_call_history_id="loop")
    for number in range(60):
        site.answered(f"other-{number}")
    told = site.look()
    assert sorted(told) == sorted(["loop", *(f"other-{number}" for number in range(60))])
    (record,) = (record for record in site.told if record.id == "loop")
    assert record.values["problem"] == "The call has more than 50 legs"
    site.wait(MINUTE)
    assert site.look() == []


def test_a_loop_that_is_come_by_once_is_told_then(site: Site) -> None:
    site.page_size = 100
    for number in range(51):
        site.table.add(make_leg_row(f"loop-{number}", "loop", NOON))
    assert site.look() == ["loop"]
    site.table.add(make_leg_row("loop-51", "loop", NOON))
    assert site.look() == []


def test_a_call_that_began_before_reading_did_has_passed(site: Site) -> None:
    site.look(NOON)
    with site.source.connect() as reader:
        began = {at: make_record(id="flow", started_at=at.isoformat()) for at in (NOON - MINUTE, NOON)}
        passed = {at: reader.has_passed(site.text or "", record) for at, record in began.items()}
    assert passed == {NOON - MINUTE: True, NOON: False}


# Copies and joins


def test_copies_with_and_without_the_main_call_are_one_call(site: Site) -> None:
    site.table.add(make_leg_row("a-1", "a", NOON, cdr_answered_at=NOON, offload_id=1))
    assert site.look() == ["a"]
    site.table.add(make_leg_row("a-1", "a", NOON, cdr_answered_at=NOON, main_call_history_id="a", offload_id=2))
    assert site.look() == []


def test_flows_of_a_waiting_call_that_turn_out_to_be_apart_are_both_told(site: Site) -> None:
    site.begun("a")
    site.answered("b", main_call_history_id="a")
    site.look()
    site.wait(2 * HOUR)
    site.answered("c", site.server_clock.now())
    site.look()
    site.answered("b")
    site.finished("a", site.server_clock.now())
    assert sorted(site.look()) == ["a", "b"]


ASKS = {"source_participant_id": "another", "destination_dn_number": "102", "cdr_started_at": NOON - MINUTE}
"""A consultation, which began after the call did and does not name the leg that it was joined into."""


@dataclass
class Desk:
    """Submits what a site has told, in whatever order a test wants."""

    site: Site
    shop: Workshop = field(default_factory=lambda: Workshop(unmapped_extensions="submit_without_email"))

    def look(self) -> Message:
        (told,) = self.site.look()
        return Message((next(record for record in reversed(self.site.told) if record.id == told),))

    def submit(self, *letters: Message) -> list[str]:
        """What is at the Call Logger afterwards."""
        for letter in letters:
            self.shop.submit(letter)
        return self.shop.api.submitted


@pytest.fixture
def desk(site: Site) -> Desk:
    return Desk(site)


def test_flows_merged_before_they_were_submitted_make_one_entry(desk: Desk, events: Events) -> None:
    desk.site.answered("b", **ASKS)
    alone = desk.look()
    desk.site.answered("b", **ASKS, main_call_history_id="a")
    desk.site.answered("a", cdr_started_at=NOON - HOUR)
    together = desk.look()
    assert desk.submit(together, alone) == ["a"]
    assert "call.merged_late" in events.names


@pytest.mark.parametrize("hours", [0, 3])
def test_flows_merged_after_one_was_submitted_make_no_second_entry_and_an_event(
    desk: Desk, events: Events, hours: int
) -> None:
    """Also hours later, when nothing remembers any more that it was told."""
    site = desk.site
    site.answered("b", **ASKS)
    site.begun("a", NOON - HOUR)
    assert desk.submit(desk.look()) == ["b"]
    for hour in range(hours):
        site.wait(HOUR)
        site.answered(f"other-{hour}", site.clock.now())
        site.look()
    site.answered("b", **ASKS, main_call_history_id="a")
    site.finished("a", site.clock.now())
    assert desk.submit(desk.look()) == ["b"]
    assert {record.reason for record in desk.shop.ledger.records.values()} == {Reason.CREATED, Reason.MERGED}
    assert len(events.named("call.merged_late")) == 2


def test_a_flow_on_its_way_is_stopped_though_the_call_that_it_belongs_to_is_in(desk: Desk) -> None:
    desk.site.answered("a", cdr_started_at=NOON - HOUR)
    assert desk.submit(desk.look()) == ["a"]
    desk.site.answered("b", **ASKS)
    alone = desk.look()
    desk.site.answered("b", **ASKS, main_call_history_id="a")
    assert desk.submit(desk.look(), alone) == ["a"]


def test_a_consultation_that_was_never_told_apart_is_in_nobodys_place(site: Site) -> None:
    site.begun("a", NOON - HOUR)
    site.answered("b", **ASKS, main_call_history_id="a")
    site.look()
    site.wait(3 * HOUR)
    site.answered("c", site.server_clock.now())
    site.finished("a", site.server_clock.now())
    site.look()
    assert {record.id: record.replaces for record in site.told} == {"a": (), "c": ()}


# Clocks


def test_a_clock_that_is_set_back_is_followed(site: Site, events: Events) -> None:
    site.answered("a", NOON)
    site.look()
    site.server_clock.move(-3 * HOUR)
    site.answered("b", NOON - 3 * HOUR)
    assert "b" in site.look()
    assert events.only("source.clock_set_back")["level"] == "WARNING"
    site.wait(MINUTE)
    site.answered("c", NOON - 3 * HOUR + MINUTE)
    assert site.look() == ["c"]
    assert events.names.count("source.clock_set_back") == 1


def test_a_leg_that_ends_ahead_of_the_clock_keeps_nobody_from_being_seen(site: Site) -> None:
    site.answered("ahead", NOON + 5 * HOUR)
    site.look()
    site.wait(MINUTE)
    site.answered("now", NOON + MINUTE)
    assert site.look() == ["now"]


def test_the_apps_clock_may_differ_from_the_servers(site: Site) -> None:
    site.clock.move(-300 * 24 * HOUR)
    site.begun("a")
    site.answered("b")
    site.look()
    site.wait(PATIENCE.open_row_wait - SECOND)
    assert [record.id for record in site.told] == ["b"]
    site.finished("a", site.server_clock.now())
    assert site.look() == ["a"]


# Pages


@pytest.mark.parametrize("most", [1, 2, 5])
def test_whoever_stops_after_any_batch_goes_on_from_there(site: Site, most: int) -> None:
    """Also where more legs end in one instant than a page has."""
    flows = [f"flow-{number:02}" for number in range(20)]
    for number, flow in enumerate(flows):
        site.answered(flow, NOON - (number // 7) * SECOND)
    while site.look(most=most):
        pass
    assert sorted(record.id for record in site.told) == flows


def test_a_look_at_what_waited_is_no_news_so_who_runs_out_of_time_reads_a_page_after_it(site: Site) -> None:
    site.page_size = 1
    site.begun("a", NOON - HOUR)
    site.answered("b")
    site.look()
    site.finished("a", NOON - HOUR)
    for number in (1, 2):
        site.answered(f"flow-{number}", NOON + number * MINUTE)
    with site.source.connect() as reader:
        told = [(batch.is_news, [record.id for record in batch.records]) for batch in reader.batches(site.text or "")]
    assert [each for each in told if each[1]] == [(True, ["flow-1"]), (False, ["a"]), (True, ["flow-2"])]


def test_a_long_history_is_read_page_by_page_with_little_to_remember(site: Site) -> None:
    site.page_size = 100
    for number in range(1_000):
        site.answered(f"flow-{number}", NOON - number * HOUR)
    assert len(site.look()) == 1_000
    assert len(site.text or "") < 500


def test_so_many_calls_within_the_overlap_that_not_all_are_remembered_are_not_told_at_each_look(site: Site) -> None:
    """What ended in the oldest hours is then not looked at any more."""
    position = time_position.TimePosition(NOON - 48 * HOUR, NOON)
    for hour in range(48):
        marks = {mark_of(f"{hour} {number}", None) for number in range(1_000)}
        position = time_position.queued(position, marks, NOON - hour * HOUR, ())
    kept = len(position.done)
    assert kept <= time_position.MOST_MARKS < kept + 1_001
    oldest = NOON - (kept // 1_000) * HOUR
    assert oldest <= (position.read_from or NOON) <= oldest + 2 * HOUR
    assert len(time_position.to_text(position)) < 400_000


# Where a first poll begins


@pytest.mark.parametrize(
    ("start", "told"),
    [
        pytest.param("beginning", ["old", "goes-on", "late"], id="the-beginning"),
        pytest.param("now", ["goes-on", "late"], id="now"),
        pytest.param(NOON - HOUR, ["late"], id="a-moment"),
        pytest.param(NOON + 24 * HOUR, [], id="a-moment-to-come"),
    ],
)
def test_the_first_poll_begins_where_it_is_told(site: Site, start: StartFrom, told: list[str]) -> None:
    """What goes on then began before that moment, and ends after now."""
    site.answered("old", NOON - 2 * HOUR)
    site.begun("goes-on", NOON - 2 * HOUR + timedelta(microseconds=1))
    site.look(start)
    site.wait(MINUTE)
    site.finished("goes-on", NOON + MINUTE)
    site.answered("late", NOON + MINUTE)
    site.look(start)
    assert sorted(record.id for record in site.told) == sorted(told)


def test_now_on_an_empty_table_is_the_servers_own_time(site: Site) -> None:
    site.look("now")
    site.answered("copied-later", NOON - HOUR)
    site.answered("new", NOON + SECOND)
    assert site.look() == ["new"]


def test_an_id_is_no_place_to_begin_at(site: Site) -> None:
    with pytest.raises(SourceMisconfigured, match="no numbers as ids"):
        site.look(4711)


# For people


def test_a_position_says_how_far_and_what_is_waited_for(site: Site) -> None:
    site.begun("a")
    site.answered("b", NOON + MINUTE)
    site.missed("c", NOON + MINUTE)
    site.wait(MINUTE)
    site.look()
    assert site.source.progress(site.text or "") == Progress("2026-11-22T12:01:00+00:00", 1, 0)
    ends = {"a": NOON, "b": NOON + MINUTE, "c": NOON + MINUTE, "d": NOON + HOUR}
    with site.source.connect() as reader:
        passed = {
            flow: reader.has_passed(site.text or "", make_record(id=flow, ended_at=end.isoformat()))
            for flow, end in ends.items()
        }
        assert passed == {"a": False, "b": True, "c": False, "d": False}
        assert reader.lag(site.text) == Lag("2026-11-22T12:01:00+00:00", 0, None)
        assert reader.lag(None) == Lag("2026-11-22T12:01:00+00:00", 0, NOON)
        site.answered("d", NOON + HOUR)
        assert reader.lag(site.text) == Lag("2026-11-22T13:00:00+00:00", 0, NOON + HOUR)


def test_calls_that_ended_within_a_span_come_by_pages_and_each_once(site: Site) -> None:
    for number in range(10):
        site.answered(f"flow-{number}", NOON + number * SECOND)
    site.begun("a", NOON)
    with site.source.connect() as reader:
        pages = list(reader.ended_between(NOON, NOON + 7 * SECOND))
        reader.check()
    assert [record.id for page in pages for record in page] == [f"flow-{number}" for number in range(7)]
    assert max(len(page) for page in pages) <= site.page_size


@pytest.mark.parametrize(
    "use",
    [
        lambda reader: list(reader.batches("{}")),
        lambda reader: reader.has_passed("damaged", make_record()),
        lambda reader: reader.lag("[]"),
    ],
    ids=["batches", "has_passed", "lag"],
)
def test_a_position_that_is_none_is_unreadable(site: Site, use: Callable[[CallReader], Any]) -> None:
    with site.source.connect() as reader, pytest.raises(PositionUnreadable):
        use(reader)
