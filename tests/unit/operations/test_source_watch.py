"""Is the source still what was read, and are there still calls? Found, told once in a while, and over some day."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from cdr.intake.poll import Poller, poll
from cdr.intake.ports import Bearings, PollReport
from cdr.intake.start_over import start_over
from cdr.operations.source_watch import (
    ASK_EVERY,
    COUNT_EVERY,
    TELL_EVERY,
    SourceWatcher,
    check_source,
    what_is_wrong,
)
from cdr.operations.unread_rows import RECONCILED_WITHIN
from cdr.operations.watch_memory import Finding, Kind, Remembered
from cdr.wiring.plans import make_hours
from shared.errors import PipelineError, SourceMisconfigured, SourceUnavailable, SourceVanished
from tests.fakes.call_queue import InMemoryCallQueue
from tests.fakes.clock import HandMovedClock
from tests.fakes.leg_table import InMemoryLegTable, InMemoryV20
from tests.fakes.positions import InMemoryPositionStore
from tests.fakes.row_table import InMemoryCallLog, InMemoryRowTable
from tests.support.events import Events
from tests.support.factories import make_leg_row, make_raw_row, make_settings
from tests.support.pollers import make_poller

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
LEASE, MINUTE, HOUR = timedelta(seconds=60), timedelta(minutes=1), timedelta(hours=1)
DELAY = timedelta(minutes=15)
SUNDAYS = 'business_hours: {sunday: {start: "06:00", end: "20:00"}}\n'


@dataclass
class OtherWay:
    """Of asking the phone system for its newest call."""

    newest: datetime | None = None
    error: PipelineError | None = None
    asked: int = 0

    def newest_start(self) -> datetime | None:
        self.asked += 1
        if self.error:
            raise self.error
        return self.newest


@dataclass
class Site:
    """A phone system that is polled and watched."""

    clock: HandMovedClock = field(default_factory=lambda: HandMovedClock(NOON))
    table: InMemoryRowTable = field(default_factory=InMemoryRowTable)
    store: InMemoryPositionStore = field(default_factory=InMemoryPositionStore)
    newest_call: OtherWay | None = None
    named_by: str = ""

    @property
    def poller(self) -> Poller:
        hours = make_hours(make_settings(SUNDAYS).business_hours)
        watch = SourceWatcher(self.clock, hours, DELAY, self.newest_call, self.named_by)
        source, queue = InMemoryCallLog(self.table, self.clock), InMemoryCallQueue(self.clock)
        return make_poller(source, queue, self.store, self.clock, lease=LEASE, start_from=0, watch=watch)

    def poll(self) -> list[Kind]:
        """What stands in the status afterwards."""
        assert poll(self.poller).result == "finished"
        return [found.kind for found in self.findings]

    @property
    def findings(self) -> tuple[Finding, ...]:
        return Remembered.from_text(self.store.read().memory).findings

    def add(self, *ids: int, at: datetime = NOON) -> None:
        """Rows of calls that ended at about this moment."""
        for n in ids:
            row = make_raw_row(id=n, call_id=f"{at:%H%M}-{n}", started_at=at - 90 * MINUTE / 60, ended_at=at)
            self.table.put(
                {key: value.isoformat() if isinstance(value, datetime) else value for key, value in row.items()}
            )

    def begin_anew(self, *ids: int, at: datetime = NOON + timedelta(hours=1)) -> None:
        self.table.rows.clear()
        self.add(*ids, at=at)

    @property
    def is_healthy(self) -> bool:
        try:
            check_source(self.store)
        except SourceMisconfigured:
            return False
        return True


@pytest.fixture
def site() -> Site:
    """Read up to id 46."""
    site = Site()
    site.add(*range(1, 47))
    site.poll()
    return site


# Ids that start again


def test_as_long_as_ids_grow_all_is_well_and_two_looks_at_the_end_are_enough(site: Site, events: Events) -> None:
    site.table.operations.clear()
    assert (site.poll(), site.is_healthy) == ([], True)
    assert site.table.operations == ["connect", "rows_after", "newest_id", "rows_in"]
    site.add(47, 49)
    assert (site.poll(), site.is_healthy) == ([], True)
    assert not [name for name in events.names if name.startswith("source.")]


Change = Callable[[Site], None]
CHANGES: dict[str, tuple[Change, list[Kind]]] = {
    "ids began again": (lambda site: site.begin_anew(*range(1, 9)), [Kind.STARTED_AGAIN]),
    "and grew beyond the position meanwhile": (lambda site: site.begin_anew(*range(1, 60)), [Kind.STARTED_AGAIN]),
    "and grew beyond the position without its id": (
        lambda site: site.begin_anew(*range(1, 60, 2)),
        [Kind.STARTED_AGAIN],
    ),
    "an older state was put back": (lambda site: [site.table.remove(n) for n in range(31, 47)], [Kind.BEYOND]),
    "the table was emptied": (lambda site: site.table.rows.clear(), [Kind.EMPTIED]),
    "the last row was corrected": (lambda site: site.add(46, at=NOON), []),
    "old rows were purged": (lambda site: [site.table.remove(n) for n in range(1, 40)], []),
    "the last row was removed, and there are new ones": (
        lambda site: [site.table.remove(46), site.add(47)],
        [],
    ),
}


@pytest.mark.parametrize(("change", "kinds"), CHANGES.values(), ids=CHANGES)
def test_a_table_that_is_another_one_is_noticed(site: Site, change: Change, kinds: list[Kind]) -> None:
    change(site)
    assert site.poll() == kinds
    assert site.is_healthy is not any(kind.hides_calls for kind in kinds)


def test_ids_that_began_again_are_an_error_until_reading_starts_over(site: Site, events: Events) -> None:
    site.begin_anew(*range(1, 9))
    site.poll()
    (found,) = site.findings
    assert events.only("source.ids_started_again") == {
        "event": "source.ids_started_again",
        "level": "ERROR",
        "detail": "ids have started again: up to 46 was read, and there are new calls below; start over at a point of "
        "your choice (POST /trigger/start-over)",
        "since": str(NOON),
    }
    site.add(*range(9, 60), at=NOON + timedelta(hours=2))
    assert (site.poll(), site.is_healthy) == ([Kind.STARTED_AGAIN], False), "they have grown beyond it by now"
    start_over(site.poller, "beginning")
    assert (site.findings, site.is_healthy) == ((), True)
    assert events.only("source.recovered")["kind"] == found.kind == "ids_started_again"
    assert (site.poll(), site.is_healthy) == ([], True)


def test_an_older_state_that_was_put_back_is_known_for_one_with_its_first_new_call(site: Site) -> None:
    for n in range(31, 47):
        site.table.remove(n)
    assert site.poll() == [Kind.BEYOND]
    site.add(31, at=NOON + timedelta(hours=1))
    assert site.poll() == [Kind.STARTED_AGAIN]


def test_rows_that_come_back_are_an_end_of_it(site: Site, events: Events) -> None:
    kept = dict(site.table.rows)
    site.table.rows.clear()
    site.poll()
    site.table.rows.update(kept)
    assert site.poll() == []
    assert [name for name in events.names if name.startswith("source.")] == ["source.emptied", "source.recovered"]


def test_while_it_lasts_it_is_told_every_hour(site: Site, events: Events) -> None:
    site.table.rows.clear()
    for _ in range(3):
        site.poll()
        site.clock.move(TELL_EVERY / 2)
    assert [line["since"] for line in events.named("source.emptied")] == [str(NOON)] * 2


def test_a_first_poll_that_was_to_begin_beyond_all_ids_is_noticed() -> None:
    site = Site()
    site.add(1, 2)
    poll(replace(site.poller, start_from=20261101))
    assert [found.kind for found in site.findings] == [Kind.BEYOND]


@pytest.mark.parametrize(
    ("bearings", "kinds"),
    [
        (Bearings(NOON, NOON), []),
        (Bearings(NOON, NOON - MINUTE, is_beyond=True, newest_at=NOON - MINUTE), [Kind.ENDS_GONE]),
        (Bearings(NOON, None), [Kind.EMPTIED]),
        (Bearings(None, None), []),
        (Bearings(0, None), []),
    ],
    ids=["as it was", "an earlier newest end", "no ends", "nothing yet", "nothing yet, of ids"],
)
def test_legs_are_watched_by_their_newest_end_and_new_ones_are_still_seen(
    bearings: Bearings, kinds: list[Kind]
) -> None:
    assert list(what_is_wrong(bearings, Remembered())) == kinds
    assert not any(kind.hides_calls for kind in kinds)


def test_rows_without_an_id_are_an_error_as_long_as_they_are_there(site: Site, events: Events) -> None:
    site.table.nameless = 2
    site.clock.move(COUNT_EVERY)
    assert (site.poll(), site.is_healthy) == ([Kind.NAMELESS], True)
    assert events.only("source.rows_without_id")["detail"].startswith("2 rows have no id ")
    site.table.nameless = 1_000
    assert [found.detail.partition(" have")[0] for found in site.findings] == ["2 rows"], (
        "they are not counted each time"
    )
    site.clock.move(COUNT_EVERY)
    site.poll()
    assert [found.detail.partition(" have")[0] for found in site.findings] == ["1000 rows or more"]
    site.table.nameless = 0
    site.clock.move(COUNT_EVERY)
    assert site.poll() == []


def test_a_row_that_comes_after_it_was_given_up_is_said_until_it_is_reconciled(site: Site, events: Events) -> None:
    def kinds_after(*ids: int) -> list[Kind]:
        site.add(*ids)
        site.clock.move(COUNT_EVERY)
        return site.poll()

    assert kinds_after(1_001, 1_005) == kinds_after() == kinds_after(1_002, 48) == [], "that is still looked for"
    site.clock.move(3 * COUNT_EVERY)
    assert kinds_after() == kinds_after() == []
    assert kinds_after(47) == kinds_after(1_006) == [Kind.CAME_LATE]
    assert "a filter in 3cx.schema late" in events.only("source.rows_came_late")["detail"]


def test_legs_that_come_where_reading_has_gone_on_from_are_said_until_they_are_reconciled(events: Events) -> None:
    table = InMemoryLegTable(clock := HandMovedClock(NOON + 10 * MINUTE))
    source, store = InMemoryV20(table, clock), InMemoryPositionStore()
    watch = SourceWatcher(clock, make_hours(make_settings(SUNDAYS).business_hours), DELAY)
    poller = make_poller(source, InMemoryCallQueue(clock), store, clock, watch=watch)

    def kinds_after(*ends: datetime) -> list[Kind]:
        table.add(*(make_leg_row(f"leg at {end}", f"call at {end}", end) for end in ends))
        poll(poller)
        clock.move(COUNT_EVERY)
        return [found.kind for found in Remembered.from_text(store.read().memory).findings]

    assert kinds_after(NOON, NOON - 3 * HOUR) == kinds_after() == []
    assert kinds_after(NOON - 3 * HOUR, NOON - 2 * MINUTE) == [], "a copy, and one that is not too late"
    assert kinds_after(NOON - 2 * HOUR) == kinds_after() == [Kind.CAME_LATE]
    assert "was the phone system's clock set back" in events.only("source.rows_came_late")["detail"]
    clock.move(RECONCILED_WITHIN)
    assert kinds_after() == []


def test_a_look_that_fails_is_no_failure_of_the_poll(site: Site, events: Events) -> None:
    site.table.rows.clear()
    assert site.poll() == [Kind.EMPTIED]
    site.table.fail_at(3, SourceUnavailable("reset"))
    assert site.poll() == [Kind.EMPTIED], "what was found stays"
    assert events.only("source.watch_failed")["reason"] == "reset"


def test_a_count_that_fails_keeps_nothing_else_from_being_seen(site: Site, events: Events) -> None:
    site.begin_anew(1)
    site.clock.move(COUNT_EVERY)
    site.table.fail_at(6, SourceUnavailable("of a type that cannot be counted"))
    assert site.poll() == site.poll() == [Kind.STARTED_AGAIN]
    assert events.only("source.watch_failed")["reason"] == "of a type that cannot be counted"


def test_a_table_that_is_not_there_any_more_is_said_until_it_is_back(site: Site, events: Events) -> None:
    for _ in range(2):
        site.table.fail_at(1, SourceVanished("no such table"))
        with pytest.raises(SourceVanished):
            poll(site.poller)
        assert [(found.kind, found.detail) for found in site.findings] == [(Kind.VANISHED, "no such table")]
        assert not site.is_healthy
    assert events.only("source.vanished")["level"] == "ERROR"
    site.table.fail_at(1, SourceUnavailable("reset"))
    with pytest.raises(SourceUnavailable):
        poll(site.poller)
    assert [found.kind for found in site.findings] == [Kind.VANISHED], "that it is out of reach now is no news of it"
    assert (site.poll(), site.is_healthy) == ([], True)
    assert events.only("source.recovered")["kind"] == "vanished"


def test_a_table_that_never_was_there_has_not_vanished(events: Events) -> None:
    site = Site()
    site.table.fail_at(1, SourceVanished("no such table"))
    with pytest.raises(SourceVanished):
        poll(site.poller)
    assert (site.findings, "source.vanished" in events.names) == ((), False)


def test_another_template_of_names_is_told_once_and_stands_in_the_status_for_a_week(site: Site, events: Events) -> None:
    site.named_by = "{call_id}"
    assert (site.poll(), site.is_healthy) == ([Kind.NAMED_ANEW], True)
    assert "was the default and is '{call_id}'" in events.only("source.calls_named_anew")["detail"]
    for _ in range(7):
        assert site.poll() == [Kind.NAMED_ANEW]
        site.clock.move(timedelta(days=1))
    assert site.poll() == []
    assert len(events.named("source.calls_named_anew")) == 1
    assert Remembered.from_text(site.store.read().memory).named_before == ""
    site.named_by = ""
    site.poll()
    site.named_by = "{id}"
    assert site.poll() == [Kind.NAMED_ANEW]
    assert len(events.named("source.calls_named_anew")) == 3


def test_a_memory_of_before_names_were_noted_knows_of_no_change(site: Site) -> None:
    kept = json.loads(site.store.read().memory)
    del kept["named_by"]
    lease = site.store.lease("old", site.clock.now(), LEASE)
    site.store.release(lease, PollReport(NOON, "finished"), json.dumps(kept))
    site.named_by = "{call_id}"
    assert site.poll() == []


@pytest.mark.parametrize("text", ["", "{", "[]", '{"findings": [{}]}', json.dumps({"findings": [], "hours": "x"})])
def test_a_memory_that_cannot_be_read_is_none(text: str) -> None:
    assert Remembered.from_text(text) == Remembered()


@pytest.mark.parametrize(
    "damage", [{"behind": []}, {"behind": [1]}, {"behind": "x"}, {"nameless": "x"}, {"late_at": 1}]
)
def test_a_memory_that_is_damaged_in_part_is_none_either(site: Site, damage: dict[str, Any]) -> None:
    kept = json.loads(site.store.read().memory)
    assert Remembered.from_text(json.dumps(kept)) != Remembered() == Remembered.from_text(json.dumps(kept | damage))


# A source that stands still


def with_newest_call(**what: Any) -> Site:
    site = Site(newest_call=OtherWay(**what))
    site.add(1, 2)
    site.poll()
    return site


def polled_for(site: Site, span: timedelta) -> list[Kind]:
    kinds: list[Kind] = []
    for _ in range(span // MINUTE):
        site.clock.move(MINUTE)
        kinds = site.poll()
    return kinds


def test_calls_that_the_phone_system_has_and_the_source_does_not_are_noticed_after_the_delay(events: Events) -> None:
    site = with_newest_call(newest=NOON + MINUTE)
    assert polled_for(site, DELAY) == []
    assert polled_for(site, MINUTE) == [Kind.STANDS_STILL]
    assert "since 2026-11-22 12:01 UTC the phone system has later calls" in events.only("source.stands_still")["detail"]
    assert site.is_healthy
    site.add(3, at=NOON + MINUTE)
    assert site.poll() == []


@pytest.mark.parametrize("newest", [None, NOON - MINUTE, NOON], ids=["no call", "an earlier one", "the same"])
def test_where_the_phone_system_has_no_later_call_all_is_well_and_it_is_asked_now_and_then(
    newest: datetime | None,
) -> None:
    site = with_newest_call(newest=newest)
    assert polled_for(site, timedelta(hours=1)) == []
    assert site.newest_call is not None
    assert site.newest_call.asked == timedelta(hours=1) // ASK_EVERY


def test_a_phone_system_that_does_not_answer_is_no_reason_for_an_alarm(events: Events) -> None:
    site = with_newest_call(error=SourceUnavailable("the phone system was not reached"))
    assert polled_for(site, timedelta(minutes=20)) == []
    assert set(events.names) == {"poll.finished", "source.watch_failed"}


@pytest.mark.parametrize("asked_once", [False, True], ids=["never", "not any more"])
def test_without_another_way_to_ask_the_usual_course_of_a_week_tells(events: Events, *, asked_once: bool) -> None:
    site, n = Site(newest_call=OtherWay() if asked_once else None), 0
    site.poll()
    site.newest_call = None
    end = NOON + timedelta(weeks=5)
    while site.clock.now() <= end:
        now = site.clock.now()
        if now.weekday() == 6 and 8 <= now.hour < 18 and now < end - timedelta(hours=2):
            site.add(*range(n, n + 6), at=now)
            n += 6
        site.poll()
        site.clock.move(timedelta(hours=1))
    assert [found.kind for found in site.findings] == [Kind.STANDS_STILL]
    assert events.only("source.stands_still")["level"] == "WARNING"
