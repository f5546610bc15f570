"""A person lets reading begin anew, whatever was stored before."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest

from cdr.intake.id_order import position as id_position
from cdr.intake.id_order.position import IdPosition
from cdr.intake.poll import Poller, poll
from cdr.intake.ports import StartFrom, StoredPosition
from cdr.intake.start_over import StartedOver, start_over
from shared.errors import LeaseHeld, NoSuchStart, SourceUnavailable, StorageUnavailable
from tests.fakes.call_queue import InMemoryCallQueue
from tests.fakes.clock import HandMovedClock
from tests.fakes.positions import InMemoryPositionStore
from tests.fakes.row_table import InMemoryCallLog, InMemoryRowTable
from tests.support.events import Events
from tests.support.factories import make_raw_row
from tests.support.pollers import make_poller

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
LEASE = timedelta(seconds=60)
AT_START = id_position.to_text(IdPosition())


@dataclass
class Site:
    """A table that was read up to id 46 and has begun again at 1, and what polls it."""

    clock: HandMovedClock = field(default_factory=lambda: HandMovedClock(NOON))
    table: InMemoryRowTable = field(default_factory=InMemoryRowTable)
    store: InMemoryPositionStore = field(default_factory=InMemoryPositionStore)

    def __post_init__(self) -> None:
        self.queue = InMemoryCallQueue(self.clock)
        self.store.stored = StoredPosition("calllog", id_position.to_text(IdPosition(46)), began=AT_START)
        self.table.put(*(make_raw_row(id=n) for n in range(1, 9)))

    @property
    def poller(self) -> Poller:
        source = InMemoryCallLog(self.table, self.clock)
        return make_poller(source, self.queue, self.store, self.clock, lease=LEASE)

    def start_over(self, start: StartFrom) -> StartedOver:
        return start_over(self.poller, start)

    def poll(self) -> list[int]:
        """What it queues."""
        self.queue.messages.clear()
        poll(self.poller)
        return [int(record.id) for letter in self.queue.letters for record in letter.records]


@pytest.fixture
def site() -> Site:
    return Site()


@pytest.mark.parametrize(
    ("start", "read"),
    [("beginning", [1, 2, 3, 4, 5, 6, 7, 8]), (6, [7, 8]), ("now", []), (NOON, [])],
    ids=["the beginning", "an id", "now", "a moment"],
)
def test_the_next_poll_begins_where_it_was_told(site: Site, start: StartFrom, read: list[int]) -> None:
    assert site.poll() == []
    site.start_over(start)
    assert site.store.stored is not None
    assert site.store.stored.began == site.store.stored.text
    assert site.poll() == read


@pytest.mark.parametrize(
    ("stored", "before"),
    [
        (StoredPosition("calllog", id_position.to_text(IdPosition(46))), ("calllog", 46)),
        (StoredPosition("calllog", "{"), ("calllog", None)),
        (StoredPosition("xapi", "{}"), ("xapi", None)),
        (None, (None, None)),
    ],
    ids=["of this source", "damaged", "of another source", "none yet"],
)
def test_whatever_was_stored_is_replaced_and_told_of(
    site: Site, events: Events, stored: StoredPosition | None, before: tuple[str | None, int | None]
) -> None:
    site.store.stored = stored
    assert site.start_over(5) == StartedOver("calllog", 5, *before)
    told = {"source_before": before[0], "position_before": before[1]}
    assert events.only("source.started_over") == {
        "event": "source.started_over",
        "level": "WARNING",
        "start": 5,
        "source": "calllog",
        "position": 5,
        **{name: value for name, value in told.items() if value is not None},
    }
    assert site.store.report is not None
    assert site.store.report.result == "started over"
    assert site.poll() == [6, 7, 8]


def test_while_a_poll_is_at_work_nothing_changes_and_it_is_said_until_when(site: Site) -> None:
    site.store.lease("a poll", NOON, LEASE)
    before = site.store.stored
    with pytest.raises(LeaseHeld) as held:
        site.start_over("beginning")
    assert (held.value.until, site.store.stored) == (NOON + LEASE, before)


@pytest.mark.parametrize(("rows", "start"), [(8, 9), (0, 1)], ids=["a few rows", "an empty table"])
def test_an_id_that_is_not_there_yet_is_refused(site: Site, rows: int, start: int) -> None:
    if not rows:
        site.table.rows.clear()
    there = "the newest one is 8" if rows else "there are none yet"
    with pytest.raises(NoSuchStart, match=f"{start} is beyond the ids of the source: {there}"):
        site.start_over(start)
    assert site.store.report is not None
    assert not site.store.report.has_failed, "the source was read, and nobody has to look after it"
    assert [site.start_over(start).position for start in (0, -3)] == [0, -3]


@pytest.mark.parametrize("part", ["table", "store"])
def test_a_failure_changes_nothing_and_leaves_the_lease_free(site: Site, part: str, events: Events) -> None:
    before, error = site.store.stored, SourceUnavailable("down") if part == "table" else StorageUnavailable("503")
    getattr(site, part).fail_at(1 if part == "table" else 2, error)
    with pytest.raises(type(error)):
        site.start_over("beginning")
    assert (site.store.stored, events.names) == (before, [])
    assert site.store.report is not None
    assert (site.store.report.result, site.store.report.error) == ("start over failed", str(error))
    assert site.start_over("beginning").position_before == 46
