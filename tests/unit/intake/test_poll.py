"""From the phone system to the queue: first the calls, then the position, and one poll at a time.

What a poll reads, and in which order, is its reader's business: test_id_order.py. Whatever may happen meanwhile, with
parts that fail: tests/contract/test_call_readers.py.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from cdr.calls.message import Letter
from cdr.intake.id_order import position as id_position
from cdr.intake.id_order.position import IdPosition
from cdr.intake.poll import PollOutcome, poll
from cdr.intake.poll_history import PollReport
from cdr.intake.ports import PositionLease, StartFrom, StoredPosition
from shared.errors import (
    LeaseHeld,
    LeaseLost,
    PositionFull,
    PositionOfAnotherSource,
    PositionUnreadable,
    SourceMisconfigured,
    SourceUnavailable,
    StorageUnavailable,
)
from tests.fakes.call_queue import InMemoryCallQueue
from tests.fakes.clock import HandMovedClock
from tests.fakes.positions import InMemoryPositionStore
from tests.fakes.row_table import InMemoryCallLog, InMemoryRowTable
from tests.support.events import Events
from tests.support.factories import OUTSIDE, make_message, make_raw_row
from tests.support.pollers import make_poller

NOON = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
LEASE = timedelta(seconds=60)
BUDGET = timedelta(seconds=24)


class BusyQueue(InMemoryCallQueue):
    """A queue on which something happens while a batch is put there."""

    meanwhile: Callable[[], None] = staticmethod(lambda: None)

    def send_all(self, letters: Iterable[Letter]) -> None:
        super().send_all(letters)
        self.meanwhile()


class NotedStore(InMemoryPositionStore):
    """Notes until when the lease was held each time when something was saved."""

    def __init__(self, room: int = 420_000) -> None:
        super().__init__(room)
        self.held_until: list[datetime] = []

    def save(self, lease: PositionLease, stored: StoredPosition, now: datetime, duration: timedelta) -> PositionLease:
        self.held_until.append(self.leased_until)
        return super().save(lease, stored, now, duration)


@dataclass
class Site:
    """A phone system with pages of three, and what polls it."""

    clock: HandMovedClock = field(default_factory=lambda: HandMovedClock(NOON))
    table: InMemoryRowTable = field(default_factory=InMemoryRowTable)
    store: NotedStore = field(default_factory=NotedStore)

    def __post_init__(self) -> None:
        self.queue = BusyQueue(self.clock)
        self.poison_queue = InMemoryCallQueue(self.clock)

    def poll(self, start_from: StartFrom = 0, time_budget: timedelta = BUDGET) -> PollOutcome:
        source = InMemoryCallLog(self.table, self.clock, page_size=3)
        what = {"time_budget": time_budget, "lease": LEASE, "start_from": start_from}
        queues = {"seen_queue": self.queue, "poison_queue": self.poison_queue}
        return poll(make_poller(source, self.queue, self.store, self.clock, **what, **queues))

    def add(self, *ids: int, **columns: Any) -> None:
        self.table.put(*(make_raw_row(id=row_id, **columns) for row_id in ids))

    def begin(self, *ids: int) -> None:
        self.add(*ids, ended_at=None)

    @property
    def queued(self) -> list[int]:
        return [int(record.id) for letter in self.queue.letters for record in letter.records]

    @property
    def position(self) -> IdPosition | None:
        return id_position.from_text(self.store.stored.text) if self.store.stored else None


@pytest.fixture
def site() -> Site:
    return Site()


# A poll


def test_every_ended_call_is_queued_once_as_a_message_of_its_own(site: Site) -> None:
    site.add(*range(1, 8))
    assert site.poll() == PollOutcome("finished", rows_read=7, queued=7, position=7)
    assert site.queue.letters == [make_message(id=n) for n in range(1, 8)]
    assert site.position == IdPosition(7)
    assert site.store.stored is not None
    assert (site.store.stored.source, site.store.stored.began) == ("calllog", id_position.to_text(IdPosition(0)))
    assert site.poll() == PollOutcome("finished", position=7)
    assert len(site.queued) == 7


def test_a_poll_of_an_empty_table_finishes(site: Site) -> None:
    assert site.poll("beginning") == PollOutcome("finished")


def test_the_outcome_is_one_log_line_and_a_report_and_the_lease_is_free(site: Site, events: Events) -> None:
    site.add(1, 3)
    site.begin(4)
    site.queue.meanwhile = lambda: site.clock.sleep(1.5)
    site.poll()
    assert events.names == ["poll.finished"]
    assert events.only("poll.finished") == {
        "event": "poll.finished",
        "level": "INFO",
        "result": "finished",
        "rows_read": 3,
        "queued": 2,
        "open_rows": 1,
        "missing_ids": 1,
        "position": 4,
        "caught_up": True,
        "duration_ms": 1500,
        "lag_s": 0,
        "newest": 4,
        "queue_depth": 2,
        "poison_depth": 0,
    }
    assert site.store.report == PollReport(site.clock.now(), "finished", queued=2, duration_ms=1500)
    site.store.lease("another", site.clock.now(), LEASE)


def test_where_to_begin_only_matters_while_there_is_no_position(site: Site) -> None:
    site.add(1, 2)
    site.table.fail_at(3, SourceUnavailable("reset"))  # noted by then, and that is kept
    with pytest.raises(SourceUnavailable):
        site.poll("now")
    site.add(3)
    site.poll("beginning")
    assert site.queued == [3]


# First the calls, then the position


def test_the_position_moves_only_when_the_batch_is_on_the_queue(site: Site) -> None:
    site.add(*range(1, 8))
    site.queue.fail_at(5, StorageUnavailable("503"))
    with pytest.raises(StorageUnavailable):
        site.poll()
    assert (site.queued, site.position) == ([1, 2, 3, 4], IdPosition(3))
    site.poll()
    assert (site.queued, site.position) == ([1, 2, 3, 4, 4, 5, 6, 7], IdPosition(7))


# The time budget


def test_the_time_budget_ends_a_poll_and_the_next_one_goes_on(site: Site) -> None:
    site.add(*range(1, 13))
    site.queue.meanwhile = lambda: site.clock.move(BUDGET / 2)
    outcome = site.poll()
    assert (outcome.queued, outcome.caught_up, outcome.position) == (6, False, 6)
    site.poll()
    assert site.queued == list(range(1, 13))


def test_a_poll_that_did_not_catch_up_tells_how_far_behind_it_is(site: Site, events: Events) -> None:
    site.add(*range(1, 13))
    site.queue.meanwhile = lambda: site.clock.move(BUDGET / 2)
    site.poll()
    line = events.only("poll.finished")
    over_since = NOON - datetime(2026, 11, 22, 10, 1, 30, tzinfo=UTC) + BUDGET
    assert (line["lag_s"], line["newest"]) == (over_since.total_seconds(), 12)


def test_what_cannot_be_told_for_the_log_is_left_out_and_no_failure_of_the_poll(site: Site, events: Events) -> None:
    def fail_at_what_comes_next() -> None:
        site.clock.move(BUDGET)
        site.table.fail_at(1, SourceUnavailable("reset"))

    site.add(*range(1, 13))
    site.queue.meanwhile = fail_at_what_comes_next
    site.poison_queue.fail_at(1, StorageUnavailable("503"))
    assert site.poll().result == "finished"
    assert {"lag_s", "newest", "queue_depth", "poison_depth"} & events.only("poll.finished").keys() == {"queue_depth"}


def test_a_backlog_leaves_time_for_what_is_behind(site: Site) -> None:
    site.begin(1)
    site.poll()
    site.add(*range(1, 20))
    site.queue.meanwhile = lambda: site.clock.move(BUDGET / 2)
    site.poll()
    assert site.queued == [1, 2, 3, 4]


def test_what_is_behind_keeps_nobody_from_what_is_new_however_long_the_look_takes(site: Site) -> None:
    site.begin(*range(1, 7))
    site.poll()
    site.add(*range(1, 9))
    site.queue.meanwhile = lambda: site.clock.move(BUDGET)
    assert not site.poll().caught_up
    assert site.queued == [1, 2, 3, 7, 8]
    assert site.poll().caught_up
    assert site.queued == [1, 2, 3, 7, 8, 4, 5, 6]


# One poll at a time


def test_while_another_poll_holds_the_lease_nothing_is_done(site: Site, events: Events) -> None:
    site.add(1)
    site.store.lease("another", NOON, LEASE)
    assert site.poll() == PollOutcome("held", held_until=NOON + LEASE)
    assert (site.table.operations, site.queued, events.names) == ([], [], ["poll.held"])
    site.clock.move(LEASE)
    assert site.poll().result == "finished"


def test_a_poll_that_was_overtaken_changes_nothing_of_the_others(site: Site, events: Events) -> None:
    def another_takes_over() -> None:
        site.clock.move(LEASE)
        lease = site.store.lease("another", site.clock.now(), LEASE)
        site.store.save(lease, StoredPosition("calllog", id_position.to_text(IdPosition(99))), site.clock.now(), LEASE)

    site.add(1, 2)
    site.queue.meanwhile = another_takes_over
    assert site.poll() == PollOutcome("overtaken", rows_read=2, queued=2)
    assert site.position == IdPosition(99)
    assert (site.store.owner, site.store.report) == ("another", None)
    assert site.store.leased_until == site.clock.now() + LEASE
    assert events.only("poll.overtaken") == {"event": "poll.overtaken", "queued": 2, "level": "WARNING"}


def test_each_batch_renews_the_lease(site: Site) -> None:
    site.add(*range(1, 9))
    site.queue.meanwhile = lambda: site.clock.move(timedelta(seconds=40))
    assert site.poll(time_budget=timedelta(minutes=10)).caught_up
    assert site.store.held_until == [NOON + timedelta(seconds=seconds) for seconds in (60, 60, 100, 140)]


# What goes wrong is one line and a report, and the lease is free


def _fails(site: Site, events: Events, kind: type[Exception]) -> dict[str, Any]:
    """The one line of a poll that fails so."""
    before = len(events.lines)
    with pytest.raises(kind):
        site.poll()
    assert events.names[before:] == ["poll.failed"]
    assert site.store.report is not None
    assert site.store.report.result == "failed"
    site.store.lease(f"another {before}", site.clock.now(), timedelta())
    return events.named("poll.failed")[-1]


@pytest.mark.parametrize("n", [1, 3], ids=["while connecting", "while reading"])
@pytest.mark.parametrize(
    ("error", "shown"),
    [
        (SourceUnavailable("the server does not answer"), "the server does not answer"),
        (SourceMisconfigured("3cx.cdr_database.password: refused"), "3cx.cdr_database.password: refused"),
        (ZeroDivisionError(f"a defect at {OUTSIDE}"), "a defect at ***42"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
def test_a_failure_leaves_the_position_where_it_was(
    site: Site, events: Events, error: Exception, shown: str, n: int
) -> None:
    site.add(*range(1, 5))
    site.table.fail_at(n, error)
    line = _fails(site, events, type(error))
    assert line == {"event": "poll.failed", "level": "ERROR", "error": type(error).__name__, "reason": shown}
    queued = 3 if n == 3 else 0
    assert site.store.report == PollReport(NOON, "failed", queued, error=f"{type(error).__name__}: {shown}")
    assert site.poll().queued == 4 - queued


def test_a_failure_with_much_to_say_leaves_a_report_that_finds_room(site: Site) -> None:
    site.table.fail_at(1, ZeroDivisionError("why " * 100_000))
    with pytest.raises(ZeroDivisionError):
        site.poll()
    assert site.store.report is not None
    assert len(site.store.report.error or "") == 2_000


def test_a_poll_without_a_lease_touches_nothing(site: Site, events: Events) -> None:
    site.store.fail_at(1, StorageUnavailable("503"))
    with pytest.raises(StorageUnavailable):
        site.poll()
    assert site.table.operations == []
    assert events.only("poll.failed")["error"] == "StorageUnavailable"


def test_a_defect_does_not_hide_behind_storage_that_fails_as_well(site: Site, events: Events) -> None:
    site.table.fail_at(1, ZeroDivisionError())
    site.store.fail_at(2, StorageUnavailable("503"))
    with pytest.raises(ZeroDivisionError):
        site.poll()
    assert events.only("poll.failed")["error"] == "ZeroDivisionError"
    with pytest.raises(LeaseHeld):
        site.store.lease("another", NOON, LEASE)


def test_losing_the_lease_while_giving_it_back_is_no_error(site: Site) -> None:
    site.store.fail_at(2, LeaseLost("taken"))
    assert site.poll().result == "overtaken"
    assert site.store.report is None


# The stored position


@pytest.mark.parametrize(
    ("stored", "kind", "words"),
    [
        (StoredPosition("calllog", "{"), PositionUnreadable, "the stored position is damaged: start over"),
        (StoredPosition("xapi", "{}"), PositionOfAnotherSource, "3cx.source is calllog, but the stored position is of"),
    ],
    ids=["damaged", "of another source"],
)
def test_a_position_that_cannot_be_read_on_from_is_left_alone(
    site: Site, events: Events, stored: StoredPosition, kind: type[Exception], words: str
) -> None:
    site.store.stored = stored
    site.add(1)
    line = _fails(site, events, kind)
    assert (line["error"], line["reason"].startswith(words)) == (kind.__name__, True)
    assert (site.store.stored, site.queued) == (stored, [])


def test_a_full_position_stops_a_poll_before_anything_new_is_queued(site: Site, events: Events) -> None:
    site.store = NotedStore(room=len(id_position.to_text(IdPosition(3, {1: NOON}, anchor=f"{1:012}.{1:012}"))))
    site.begin(1)
    site.add(2, 3)
    site.poll()
    site.begin(4)
    site.add(5)
    for _ in range(2):
        assert _fails(site, events, PositionFull)["error"] == "PositionFull"
    assert (site.queued, site.position) == ([2, 3], IdPosition(3, {1: NOON}))
    site.add(1)
    assert site.poll().result == "finished", "what is behind is looked at all the same, and makes room"
    assert (site.queued, site.position) == ([2, 3, 1, 5], IdPosition(5, {4: NOON}))
