"""From the database to the queue: nothing is lost, whatever fails."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdr.calls.call import COLUMNS
from cdr.calls.message import decode_row
from cdr.intake.id_order import Checkpoint, Gap
from cdr.intake.poll import PollOutcome, PollPlan, poll
from cdr.submission.submit import Worker, submit_call
from shared.clock import HandMovedClock
from shared.errors import (
    CheckpointFull,
    LeaseLost,
    PipelineError,
    SourceMisconfigured,
    SourceUnavailable,
    StorageUnavailable,
)
from tests.fakes.call_queue import InMemoryCallQueue
from tests.fakes.positions import InMemoryCheckpointStore
from tests.fakes.row_table import InMemoryCdrSource
from tests.support.factories import make_raw_row
from tests.unit.conftest import Events

NOON = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
LEASE = timedelta(seconds=60)
BUDGET = timedelta(seconds=24)
GAP_WAIT = timedelta(minutes=15)
OPEN_ROW_WAIT = timedelta(hours=24)
MOMENT = timedelta(milliseconds=1)
PLAN = PollPlan(BUDGET, LEASE, gap_wait=GAP_WAIT, open_row_wait=OPEN_ROW_WAIT)

pytestmark = pytest.mark.usefixtures("events")


class BusyQueue(InMemoryCallQueue):
    """A queue on which something happens while a page is put there."""

    def __init__(self, clock: HandMovedClock) -> None:
        super().__init__(clock)
        self.meanwhile: Callable[[], None] = lambda: None

    def send_all(self, messages: Iterable[str]) -> None:
        super().send_all(list(messages))
        self.meanwhile()


@dataclass
class Site:
    """A phone system, and the poller that reads it."""

    clock: HandMovedClock = field(default_factory=lambda: HandMovedClock(NOON))
    source: InMemoryCdrSource = field(default_factory=InMemoryCdrSource)
    store: InMemoryCheckpointStore = field(default_factory=InMemoryCheckpointStore)
    plan: PollPlan = PLAN

    def __post_init__(self) -> None:
        self.queue = BusyQueue(self.clock)

    def poll(self, **changed: Any) -> PollOutcome:
        plan = replace(self.plan, **changed)
        return poll(source=self.source, queue=self.queue, checkpoints=self.store, clock=self.clock, plan=plan)

    def add(self, *ids: int, **columns: Any) -> None:
        self.source.put(*(make_raw_row(id=row_id, **columns) for row_id in ids))

    def begin(self, *ids: int) -> None:
        self.add(*ids, ended_at=None, duration_s=None)

    def end(self, *ids: int) -> None:
        self.add(*ids)

    @property
    def queued(self) -> list[int]:
        return [decode_row(text).id for text in self.queue.texts]

    @property
    def position(self) -> int | None:
        return self.store.checkpoint.position if self.store.checkpoint else None


@pytest.fixture
def site() -> Site:
    return Site()


@pytest.fixture
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cdr.intake.poll.PAGE_SIZE", 3)


# What is queued


def test_every_ended_call_is_queued_once(site: Site) -> None:
    site.add(1, 2, 3)
    assert site.poll().queued == 3
    assert site.poll().queued == 0
    assert site.queued == [1, 2, 3]


def test_a_message_holds_the_raw_values_of_the_row(site: Site) -> None:
    site.add(7, caller_number="0099", call_type=2, ended_at="not a time at all")
    site.poll()
    values = decode_row(site.queue.take()).values
    assert values["caller_number"] == "0099"
    assert values["call_type"] == 2
    assert values["ended_at"] == "not a time at all"


def test_a_poll_of_an_empty_table_finishes(site: Site) -> None:
    assert site.poll() == PollOutcome("finished")


def test_pages_follow_until_it_has_caught_up(site: Site, small_pages: None) -> None:
    site.add(*range(1, 11))
    outcome = site.poll()
    assert (outcome.rows_read, outcome.queued, outcome.caught_up) == (10, 10, True)
    assert site.source.operations.count("rows_after") == 4


def test_a_last_page_that_is_just_full_is_followed_by_one_look_more(site: Site, small_pages: None) -> None:
    site.add(*range(1, 7))
    assert site.poll().caught_up
    assert site.queued == [1, 2, 3, 4, 5, 6]


def test_a_poll_costs_the_same_however_many_rows_were_read_before(site: Site) -> None:
    site.add(*range(1, 2_001))
    site.poll()
    site.source.operations.clear()
    site.poll()
    assert site.source.operations == ["connect", "rows_after"]


def test_the_outcome_is_one_log_line(site: Site, events: Events) -> None:
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
    }


def test_a_finished_poll_leaves_a_report_and_gives_the_lease_back(site: Site) -> None:
    site.add(1)
    site.queue.meanwhile = lambda: site.clock.sleep(2)
    site.poll()
    report = site.store.report
    assert report is not None
    assert (report.result, report.queued, report.duration_ms, report.error) == ("finished", 1, 2000, None)
    assert report.at == site.clock.now()
    site.store.lease("another", site.clock.now(), LEASE)


# Nothing is lost


def test_the_checkpoint_moves_only_when_the_page_is_on_the_queue(site: Site) -> None:
    site.add(1, 2, 3)
    site.queue.fail_at(3, StorageUnavailable("503"))
    with pytest.raises(StorageUnavailable):
        site.poll()
    assert site.position is None
    site.poll()
    assert site.queued == [1, 2, 1, 2, 3]
    assert site.position == 3


def test_pages_before_the_one_that_failed_are_not_read_again(site: Site, small_pages: None) -> None:
    site.add(*range(1, 8))
    site.queue.fail_at(5, StorageUnavailable("503"))
    with pytest.raises(StorageUnavailable):
        site.poll()
    assert site.position == 3
    site.poll()
    assert site.queued == [1, 2, 3, 4, 4, 5, 6, 7]


@pytest.mark.parametrize("answer_lost", [False, True], ids=["refused", "answer lost"])
@pytest.mark.parametrize("part", ["source", "queue", "store"])
def test_nothing_is_lost_whichever_operation_fails(part: str, *, answer_lost: bool, small_pages: None) -> None:
    n = 0
    failed = True
    while failed:
        n += 1
        site = Site()
        _let_a_part_fail(site, part, n, answer_lost=answer_lost)
        failed = _live_through_a_day(site)
        ended = {row_id for row_id, row in site.source.rows.items() if row["ended_at"] is not None}
        assert set(site.queued) == ended, f"the {n}th operation of the {part} failed"
        assert site.position == max(ended)
    assert n > 10, "the loop reached the end of what there is to fail"


def _let_a_part_fail(site: Site, part: str, n: int, *, answer_lost: bool) -> None:
    error = SourceUnavailable("reset") if part == "source" else StorageUnavailable("reset")
    getattr(site, part).fail_at(n, error, answer_lost=answer_lost)


def _live_through_a_day(site: Site) -> bool:
    """Calls begin, end and come late over several polls; whether one of the polls failed."""
    failed = False

    def poll_and_wait() -> None:
        nonlocal failed
        try:
            site.poll()
        except PipelineError:
            failed = True
        site.clock.move(LEASE)  # a lease whose release failed runs out

    site.add(1, 2, 4)
    site.begin(3, 6)
    poll_and_wait()
    site.end(3)
    site.add(5, 7, 8)
    site.begin(9, 10)
    poll_and_wait()
    site.end(6, 9)
    poll_and_wait()
    site.end(10)
    site.add(11)
    poll_and_wait()
    poll_and_wait()
    return failed


@given(st.data())
def test_nothing_is_lost_however_rows_appear_and_end_and_parts_fail(data: st.DataObject) -> None:
    site = Site()
    ids = range(1, 13)
    uncommitted, under_way = list(ids), []
    for _ in range(data.draw(st.integers(1, 25))):
        match data.draw(st.sampled_from(["begin", "add", "end", "poll", "fail"])):
            case "begin" if uncommitted:
                under_way.append(uncommitted.pop(data.draw(st.integers(0, min(3, len(uncommitted) - 1)))))
                site.begin(under_way[-1])
            case "add" if uncommitted:
                site.add(uncommitted.pop(data.draw(st.integers(0, min(3, len(uncommitted) - 1)))))
            case "end" if under_way:
                site.end(under_way.pop(0))
            case "poll":
                _poll_in_spite_of_failures(site)
            case "fail":
                part = data.draw(st.sampled_from(["source", "queue", "store"]))
                _let_a_part_fail(site, part, data.draw(st.integers(1, 8)), answer_lost=data.draw(st.booleans()))
        site.clock.move(timedelta(seconds=data.draw(st.sampled_from([1, 30]))))
    site.add(*uncommitted, *under_way)
    for _ in range(30):  # each failure that is still to come stops one poll at most
        _poll_in_spite_of_failures(site)
        site.clock.move(timedelta(seconds=5))
    assert set(site.queued) == set(ids)
    assert site.store.checkpoint == Checkpoint(12)


def _poll_in_spite_of_failures(site: Site) -> None:
    with suppress(PipelineError):
        site.poll()


@pytest.mark.parametrize(
    "error",
    [SourceUnavailable("the server does not answer"), SourceMisconfigured("3cx.cdr_database.password: refused")],
    ids=lambda error: type(error).__name__,
)
def test_a_failure_leaves_a_report_and_gives_the_lease_back(site: Site, error: PipelineError) -> None:
    site.add(1)
    site.source.fail_at(2, error)
    with pytest.raises(type(error)):
        site.poll()
    report = site.store.report
    assert report is not None
    assert (report.result, report.queued) == ("failed", 0)
    assert report.error == f"{type(error).__name__}: {error}"
    assert site.poll().queued == 1


def test_a_poll_without_a_lease_touches_nothing_else(site: Site) -> None:
    site.store.fail_at(1, StorageUnavailable("503"))
    with pytest.raises(StorageUnavailable):
        site.poll()
    assert site.source.operations == []


# One poll at a time


def test_while_another_poll_holds_the_lease_nothing_is_done(site: Site, events: Events) -> None:
    site.add(1)
    site.store.lease("another", NOON, LEASE)
    assert site.poll() == PollOutcome("held")
    assert site.source.operations == []
    assert site.queued == []
    assert events.names == ["poll.held"]


def test_a_poll_that_died_blocks_nobody_for_longer_than_its_lease(site: Site) -> None:
    site.add(1)
    site.store.lease("dead", NOON, LEASE)
    site.clock.move(LEASE)
    assert site.poll().result == "finished"
    assert site.queued == [1]


def test_a_poll_that_was_overtaken_changes_nothing_of_the_others(site: Site, events: Events) -> None:
    def another_takes_over() -> None:
        site.clock.move(LEASE)
        lease = site.store.lease("another", site.clock.now(), LEASE)
        site.store.save(lease, Checkpoint(99), site.clock.now(), LEASE)

    site.add(1, 2)
    site.queue.meanwhile = another_takes_over
    outcome = site.poll()
    assert (outcome.result, outcome.queued) == ("overtaken", 2)
    assert site.position == 99
    assert site.store.owner == "another"
    assert site.store.leased_until == site.clock.now() + LEASE
    assert events.only("poll.overtaken")["level"] == "WARNING"


def test_each_saved_page_renews_the_lease(site: Site, small_pages: None) -> None:
    site.add(*range(1, 12))
    site.queue.meanwhile = lambda: site.clock.move(timedelta(seconds=40))
    held_until = []
    save = site.store.save

    def save_and_note(*args: Any) -> Any:
        held_until.append(site.store.leased_until - site.clock.now())
        return save(*args)

    site.store.save = save_and_note  # type: ignore[method-assign]
    assert site.poll(time_budget=timedelta(minutes=10)).caught_up
    assert held_until[1:] == [timedelta(seconds=20)] * 4


def test_losing_the_lease_is_no_error_and_leaves_no_report(site: Site) -> None:
    site.store.fail_at(2, LeaseLost("taken"))
    assert site.poll().result == "overtaken"
    assert site.store.report is None


# The time budget


def test_the_time_budget_ends_a_poll_and_the_next_one_goes_on(site: Site, small_pages: None) -> None:
    site.add(*range(1, 13))
    site.queue.meanwhile = lambda: site.clock.move(BUDGET / 2)
    outcome = site.poll()
    assert (outcome.queued, outcome.caught_up, outcome.position) == (6, False, 6)
    assert site.poll().position == 12
    assert site.queued == list(range(1, 13))


def test_a_long_look_at_rows_behind_leaves_time_for_a_page_of_new_ones(site: Site, small_pages: None) -> None:
    site.begin(*range(1, 7))
    site.poll()
    site.end(*range(1, 7))
    site.add(7, 8)
    site.queue.meanwhile = lambda: site.clock.move(BUDGET)
    outcome = site.poll()
    assert site.queued == [1, 2, 3, 7, 8]
    assert not outcome.caught_up
    assert outcome.open_rows == 3


def test_a_backlog_of_new_rows_leaves_time_for_a_look_at_those_behind(site: Site, small_pages: None) -> None:
    site.begin(1)
    site.poll()
    site.end(1)
    site.add(*range(2, 20))
    site.queue.meanwhile = lambda: site.clock.move(BUDGET)
    site.poll()
    assert site.queued == [1, 2, 3, 4]


# Rows that have not ended


def test_a_row_that_has_not_ended_is_passed_and_queued_once_it_has(site: Site) -> None:
    site.begin(1)
    site.add(2)
    outcome = site.poll()
    assert (site.queued, outcome.position, outcome.open_rows) == ([2], 2, 1)
    site.poll()
    site.end(1)
    outcome = site.poll()
    assert (site.queued, outcome.open_rows) == ([2, 1], 0)
    assert site.poll().queued == 0


def test_a_row_that_has_not_ended_is_remembered_since_it_was_first_seen(site: Site) -> None:
    site.begin(1)
    for _ in range(5):
        site.poll()
        site.clock.move(timedelta(hours=1))
    assert site.store.checkpoint == Checkpoint(1, {1: NOON})


def test_open_rows_over_several_pages_are_all_looked_at(site: Site, small_pages: None) -> None:
    site.begin(*range(1, 11))
    site.poll()
    site.end(*range(1, 11))
    site.poll()
    assert site.queued == list(range(1, 11))


def test_a_row_that_never_ends_is_given_up_after_its_wait_as_a_message(site: Site) -> None:
    site.begin(1)
    site.poll()
    site.clock.move(OPEN_ROW_WAIT - MOMENT)
    assert site.poll().open_rows == 1
    site.clock.move(MOMENT)
    assert site.poll().open_rows == 0
    assert site.queued == [1]
    assert site.poll().queued == 0


def test_the_message_of_a_row_that_never_ended_becomes_a_record_in_the_ledger(site: Site, worker: Worker) -> None:
    site.begin(1)
    site.poll()
    site.clock.move(OPEN_ROW_WAIT)
    site.poll()
    submit_call(site.queue.take(), worker)
    (record,) = worker.ledger.records.values()
    assert (record.state, record.reason, record.detail) == ("rejected", "invalid_row", "ended_at: missing")


def test_a_row_that_becomes_overdue_during_the_look_is_not_forgotten_unqueued(site: Site) -> None:
    site.begin(1, 2)
    site.poll()
    site.clock.move(OPEN_ROW_WAIT - MOMENT)
    site.end(2)
    site.queue.meanwhile = lambda: site.clock.move(timedelta(seconds=10))
    site.poll()
    site.poll()
    assert site.queued == [2, 1]


def test_an_open_row_that_vanished_is_forgotten_after_its_wait_and_said_so(site: Site, events: Events) -> None:
    site.begin(1)
    site.poll()
    site.source.remove(1)
    site.clock.move(OPEN_ROW_WAIT - MOMENT)
    assert site.poll().open_rows == 1
    assert "row.vanished" not in events.names
    site.clock.move(MOMENT)
    assert site.poll().open_rows == 0
    assert events.only("row.vanished")["row_id"] == 1
    assert site.queued == []


# Ids that were missing


def test_a_row_that_is_committed_after_a_higher_id_was_read_is_queued(site: Site) -> None:
    site.add(1, 2, 5)
    assert site.poll().missing_ids == 2
    site.add(3)
    outcome = site.poll()
    assert (site.queued, outcome.missing_ids) == ([1, 2, 5, 3], 1)
    assert site.store.checkpoint == Checkpoint(5, {}, (Gap(4, 4, NOON),))


def test_a_late_row_that_has_not_ended_is_remembered(site: Site) -> None:
    site.add(1, 3)
    site.poll()
    site.begin(2)
    site.poll()
    site.end(2)
    site.poll()
    assert site.queued == [1, 3, 2]


def test_missing_ids_are_looked_at_until_their_wait_is_over(site: Site) -> None:
    site.add(1, 3)
    site.poll()
    site.clock.move(GAP_WAIT - MOMENT)
    assert site.poll().missing_ids == 1
    site.add(2)
    site.clock.move(timedelta(minutes=1))
    assert site.poll().missing_ids == 0
    assert site.queued == [1, 3, 2]


def test_missing_ids_are_forgotten_after_a_last_look(site: Site) -> None:
    site.add(1, 3)
    site.poll()
    site.clock.move(GAP_WAIT)
    site.poll()
    assert site.store.checkpoint == Checkpoint(3)
    site.source.operations.clear()
    site.poll()
    assert "rows_in" not in site.source.operations


def test_ids_whose_wait_ends_during_a_look_get_another_one(site: Site) -> None:
    site.add(1, 3, 5)
    site.poll()
    site.clock.move(GAP_WAIT - MOMENT)
    site.add(2)
    site.queue.meanwhile = lambda: site.clock.move(timedelta(seconds=10))
    assert site.poll().missing_ids == 1
    site.add(4)
    site.poll()
    assert sorted(site.queued) == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("jump", [1_000, 10_000, 10**12])
def test_a_jump_of_ids_costs_nothing(site: Site, jump: int) -> None:
    site.add(1)
    site.poll()
    site.add(jump)
    site.source.operations.clear()
    site.poll()
    site.poll()
    assert site.source.operations == ["connect", "rows_after", "connect", "rows_in", "rows_after"]
    assert site.store.checkpoint == Checkpoint(jump, {}, (Gap(2, jump - 1, NOON),))


# Too much to remember


def test_a_full_checkpoint_stops_the_poll_before_anything_is_queued(site: Site) -> None:
    site.store = InMemoryCheckpointStore(room=2)
    site.add(1, 2)
    site.begin(3, 4, 5)
    with pytest.raises(CheckpointFull):
        site.poll()
    assert site.queued == []
    assert site.position is None
    assert site.store.report is not None
    assert site.store.report.error is not None
    assert site.store.report.error.startswith("CheckpointFull: ")


def test_with_a_full_checkpoint_the_rows_behind_are_still_looked_at_until_there_is_room(site: Site) -> None:
    site.store = InMemoryCheckpointStore(room=2)
    site.begin(1, 2)
    site.poll()
    site.begin(3)
    site.add(4)
    for _ in range(2):
        with pytest.raises(CheckpointFull):
            site.poll()
    site.end(2)
    assert site.poll().result == "finished"
    assert site.queued == [2, 4]
    assert site.store.checkpoint == Checkpoint(4, {1: NOON, 3: NOON})


# Where the very first poll starts


def test_from_the_beginning_everything_is_queued(site: Site) -> None:
    site.add(-3, 1, 2)
    site.poll(start_from="beginning")
    assert site.queued == [-3, 1, 2]


def test_from_the_beginning_lower_ids_that_appear_late_are_queued_too(site: Site) -> None:
    site.add(4)
    site.poll(start_from="beginning")
    site.add(1, 2)
    site.poll()
    assert site.queued == [4, 1, 2]


def test_from_now_only_what_comes_later_is_queued(site: Site) -> None:
    site.add(1, 2)
    assert site.poll(start_from="now").queued == 0
    site.add(3)
    site.poll(start_from="now")
    assert site.queued == [3]


def test_from_now_on_an_empty_table_the_first_row_that_comes_is_queued(site: Site) -> None:
    site.poll(start_from="now")
    site.add(1)
    site.poll(start_from="now")
    assert site.queued == [1]


def test_from_now_starts_where_the_first_poll_noted_it_even_if_that_one_then_failed(site: Site) -> None:
    site.add(1)
    site.source.fail_at(3, SourceUnavailable("reset"))
    with pytest.raises(SourceUnavailable):
        site.poll(start_from="now")
    site.add(2)
    site.poll(start_from="now")
    assert site.queued == [2]


def test_from_an_id_the_rows_after_it_are_queued(site: Site) -> None:
    site.add(*range(1, 6))
    site.poll(start_from=3)
    assert site.queued == [4, 5]


def test_from_an_id_beyond_the_newest_row_the_rows_up_to_it_are_never_read(site: Site) -> None:
    site.add(1)
    site.poll(start_from=10)
    site.add(2, 10, 11)
    site.poll(start_from=10)
    assert site.queued == [11]


def test_from_a_date_the_first_row_that_started_then_is_the_first_to_be_queued(site: Site) -> None:
    for row_id, day in enumerate((20, 21, 21, 22), start=1):
        site.add(row_id, started_at=f"2026-11-{day} 10:00:00")
    site.poll(start_from=datetime(2026, 11, 21, tzinfo=UTC))
    assert site.queued == [2, 3, 4]


def test_from_a_date_that_is_still_to_come_only_new_rows_are_queued(site: Site) -> None:
    site.add(1, 2)
    site.poll(start_from=datetime(2027, 1, 1, tzinfo=UTC))
    site.add(3)
    site.poll(start_from=datetime(2027, 1, 1, tzinfo=UTC))
    assert site.queued == [3]


def test_from_a_date_on_an_empty_table_the_first_row_that_comes_is_queued(site: Site) -> None:
    site.poll(start_from=datetime(2026, 11, 21, tzinfo=UTC))
    site.add(5)
    site.poll()
    assert site.queued == [5]


def test_once_there_is_a_checkpoint_the_start_does_not_matter(site: Site) -> None:
    site.add(1)
    site.poll()
    site.add(2, 3)
    site.poll(start_from="now")
    assert site.queued == [1, 2, 3]


# Strange rows

STRANGE = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.decimals(allow_nan=None)
    | st.text(st.characters(codec=None), max_size=20)
    | st.binary(max_size=20)
    | st.datetimes()
    | st.timedeltas()
    | st.sampled_from(
        ["é" * 10_000, b"\xff" * 10_000, Decimal("sNaN"), date(2026, 1, 1), time(1), UUID(int=7), object()]
    )
)


@given(st.lists(st.fixed_dictionaries({column: STRANGE for column in COLUMNS if column != "id"}), max_size=5))
def test_strange_rows_cannot_stop_it(rows: list[dict[str, Any]]) -> None:
    site = Site()
    site.source.put(*({"id": n, **row} for n, row in enumerate(rows, start=1)))
    site.add(len(rows) + 1)
    outcome = site.poll()
    ended = [n for n, row in site.source.rows.items() if row["ended_at"] is not None]
    assert site.queued == ended
    assert outcome.open_rows == len(rows) + 1 - len(ended)
