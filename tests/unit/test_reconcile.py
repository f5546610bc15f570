"""Is a call missing? The rows of the database against the ledger."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime

import pytest

from cdr.calls.call import CallKey, Outcome, Settlement, State
from cdr.calls.message import decode_row, encode_row
from cdr.calls.rules import UNDATED
from cdr.intake.id_order import Checkpoint
from cdr.operations import reconcile as reconcile_module
from cdr.operations.reconcile import Reconciliation, reconcile
from cdr.submission.submit import Worker, submit_call
from shared.errors import SourceUnavailable, StorageUnavailable
from tests.fakes.call_queue import InMemoryCallQueue
from tests.fakes.positions import InMemoryCheckpointStore
from tests.fakes.row_table import InMemoryCdrSource
from tests.support.factories import make_raw_row, make_rules
from tests.unit.conftest import Events

NOON = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
DAY = date(2026, 11, 22)

pytestmark = pytest.mark.usefixtures("events")


class Site:
    """A database, a checkpoint and a worker whose ledger is compared."""

    def __init__(self, worker: Worker) -> None:
        self.worker = worker
        self.source = InMemoryCdrSource()
        self.checkpoints = InMemoryCheckpointStore()
        self.checkpoints.checkpoint = Checkpoint(1_000_000)

    def row(self, row_id: int, ended_at: str = "2026-11-22 10:01:30", *, recorded: bool = True) -> None:
        row = make_raw_row(id=row_id, started_at=None, ended_at=ended_at)
        self.source.put(row)
        if recorded:
            submit_call(encode_row(row), self.worker)

    def reconcile(self, first: date = DAY, last: date = DAY, queue: InMemoryCallQueue | None = None) -> Reconciliation:
        return reconcile(
            source=self.source,
            ledger=self.worker.ledger,
            checkpoints=self.checkpoints,
            first=first,
            last=last,
            queue=queue,
        )


@pytest.fixture
def site(worker: Worker) -> Site:
    return Site(worker)


def test_when_every_row_has_its_record_nothing_is_missing(site: Site, events: Events) -> None:
    site.row(1)
    site.row(2)
    assert site.reconcile() == Reconciliation(
        rows=2,
        recorded=2,
        not_polled_yet=0,
        missing=0,
        missing_ids=[],
        only_in_ledger=0,
        only_in_ledger_ids=[],
        queued=0,
    )
    finished = events.only("reconcile.finished")
    assert (finished["rows"], finished["missing"], finished["only_in_ledger"], finished["queued"]) == (2, 0, 0, 0)


def test_a_row_without_a_record_is_missing_and_named(site: Site) -> None:
    site.row(1)
    site.row(2, recorded=False)
    site.row(3, recorded=False)
    found = site.reconcile()
    assert (found.rows, found.recorded, found.missing, found.missing_ids) == (3, 1, 2, [2, 3])


def test_skipped_and_rejected_calls_are_recorded_too(site: Site) -> None:
    for row_id, columns in enumerate([{"answered": False}, {"extension": "999"}, {"caller_number": True}], start=1):
        row = make_raw_row(id=row_id, **columns)
        site.source.put(row)
        submit_call(encode_row(row), site.worker)
    assert site.reconcile().missing == 0


def test_a_row_whose_record_has_no_day_is_not_missing(site: Site) -> None:
    row = make_raw_row(id=1, call_id="")
    site.source.put(row)
    assert submit_call(encode_row(row), site.worker) is Outcome.REJECTED
    assert {key.day for key in site.worker.ledger.records} == {UNDATED}
    found = site.reconcile()
    assert (found.recorded, found.missing, found.only_in_ledger) == (1, 0, 0)


def test_rows_that_share_a_key_have_a_record_each(site: Site) -> None:
    rules = make_rules(pbx_call_id="{call_id}")
    site.worker = replace(site.worker, plan=replace(site.worker.plan, rules=rules))
    site.row(1)
    site.row(2)
    assert len(site.worker.api.submitted) == 1
    assert site.reconcile().missing == 0


def test_only_rows_that_ended_within_the_days_count_both_included(site: Site) -> None:
    for row_id, ended_at in enumerate(
        ["2026-11-20 23:59:59", "2026-11-21 00:00:00", "2026-11-22 23:59:59", "2026-11-23 00:00:00"], start=1
    ):
        site.row(row_id, ended_at, recorded=False)
    assert site.reconcile(date(2026, 11, 21), date(2026, 11, 22)).missing_ids == [2, 3]


def test_rows_beyond_the_checkpoint_are_not_missing_yet(site: Site) -> None:
    site.checkpoints.checkpoint = Checkpoint(2)
    for row_id in (1, 2, 3, 4, 5):
        site.row(row_id, recorded=False)
    found = site.reconcile()
    assert (found.rows, found.missing_ids, found.not_polled_yet) == (5, [1, 2], 3)


@pytest.mark.parametrize("checkpoint", [None, Checkpoint()], ids=["never polled", "polled an empty table"])
def test_before_anything_was_polled_nothing_is_missing(site: Site, checkpoint: Checkpoint | None) -> None:
    site.checkpoints.checkpoint = checkpoint
    site.row(1, recorded=False)
    found = site.reconcile()
    assert (found.missing, found.not_polled_yet) == (0, 1)


def test_a_record_without_its_row_is_named(site: Site) -> None:
    site.row(1)
    site.row(2)
    site.source.remove(2)
    found = site.reconcile()
    assert (found.rows, found.only_in_ledger, found.only_in_ledger_ids) == (1, 1, [2])


def test_records_of_other_days_and_of_garbage_are_no_surplus(site: Site) -> None:
    site.row(1, "2026-11-21 10:00:00")
    site.row(2, "2026-11-23 10:00:00")
    submit_call("no JSON", site.worker)
    found = site.reconcile()
    assert (found.rows, found.only_in_ledger) == (0, 0)


def test_a_record_on_the_next_day_by_another_time_zone_is_still_the_rows_own(site: Site) -> None:
    """The database's days and the ledger's differ by up to one, where a time zone was changed in between."""
    row = make_raw_row(id=1, started_at=None, ended_at="2026-11-22 23:30:00")
    site.source.put(row)
    key = CallKey("2026-11-23", "0000017F-7-1")
    site.worker.ledger.keep(key, 1, "", Settlement(State.SKIPPED, "because"), NOON)
    found = site.reconcile()
    assert (found.recorded, found.missing) == (1, 0)


def test_looking_alone_queues_nothing(site: Site) -> None:
    site.row(1, recorded=False)
    assert site.reconcile().queued == 0
    assert site.worker.queue.texts == []


def test_missing_rows_are_queued_on_demand_and_then_no_longer_missing(site: Site) -> None:
    queue = site.worker.queue
    site.row(1)
    site.row(2, recorded=False)
    site.row(3, recorded=False)
    found = site.reconcile(queue=queue)
    assert (found.missing, found.queued) == (2, 2)
    assert [decode_row(text).id for text in queue.texts] == [2, 3]
    while queue.messages:
        submit_call(queue.take(), site.worker)
    assert site.reconcile(queue=queue) == replace(found, recorded=3, missing=0, missing_ids=[], queued=0)


def test_queueing_a_row_that_is_still_on_the_queue_does_no_harm(site: Site) -> None:
    queue = site.worker.queue
    site.row(1, recorded=False)
    site.reconcile(queue=queue)
    site.reconcile(queue=queue)
    outcomes = [submit_call(queue.take(), site.worker) for _ in range(2)]
    assert outcomes == [Outcome.SUBMITTED, Outcome.REPEATED]


def test_rows_of_many_pages_are_counted_and_queued(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reconcile_module, "PAGE_SIZE", 2)
    for row_id in range(1, 8):
        site.row(row_id, recorded=False)
    found = site.reconcile(queue=site.worker.queue)
    assert (found.rows, found.missing, found.queued) == (7, 7, 7)


def test_lists_of_ids_stop_at_a_thousand_the_counts_do_not(site: Site) -> None:
    for row_id in range(1, 1_003):
        site.row(row_id, recorded=False)
    for row_id in range(2_001, 3_003):
        key = CallKey("2026-11-22", f"call-{row_id}")
        site.worker.ledger.keep(key, row_id, "", Settlement(State.SKIPPED, "because"), NOON)
    found = site.reconcile()
    assert (found.missing, len(found.missing_ids), found.missing_ids[-1]) == (1_002, 1_000, 1_000)
    assert (found.only_in_ledger, len(found.only_in_ledger_ids), found.only_in_ledger_ids[0]) == (1_002, 1_000, 2_001)


@pytest.mark.parametrize("part", ["source", "ledger", "checkpoints"])
def test_without_one_of_its_parts_nothing_is_said(site: Site, part: str, events: Events) -> None:
    site.row(1, recorded=False)
    error = SourceUnavailable("down") if part == "source" else StorageUnavailable("503")
    getattr(site, part, site.worker.ledger).fail_at(1, error)
    with pytest.raises(type(error)):
        site.reconcile()
    assert events.names == []
