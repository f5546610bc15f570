"""Is a call missing? The phone system's calls against the ledger."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, datetime, timedelta
from typing import Any

import pytest

from cdr.calls.call import UNDATED, CallKey, Reason, Settlement, State
from cdr.intake.id_position import IdPosition, to_text
from cdr.intake.ports import StoredPosition
from cdr.operations.reconcile import Reconciler, Reconciliation, reconcile
from cdr.submission.submit import Outcome
from shared.errors import PositionOfAnotherSource, SourceUnavailable, StorageUnavailable
from tests.fakes.positions import InMemoryPositionStore
from tests.fakes.row_table import InMemoryCallLog, InMemoryRowTable
from tests.support.events import Events
from tests.support.factories import make_job, make_message, make_raw_row, make_record
from tests.support.workshop import NOON, TIMES, Workshop

DAY = date(2026, 11, 22)
SKIPPED = Settlement(State.SKIPPED, Reason.UNANSWERED)
ALL_WELL = Reconciliation(
    rows=2, recorded=2, not_polled_yet=0, missing=0, missing_ids=[], only_in_ledger=0, only_in_ledger_ids=[]
)

pytestmark = pytest.mark.usefixtures("events")


class Site:
    """A phone system, a position and a worker whose ledger is compared."""

    def __init__(self, shop: Workshop) -> None:
        self.shop, self.ledger, self.queue = shop, shop.ledger, shop.queue
        self.table = InMemoryRowTable()
        self.positions = InMemoryPositionStore()
        self.polled_until(IdPosition(1_000_000))

    def polled_until(self, position: IdPosition | None, source: str = "calllog") -> None:
        self.positions.stored = StoredPosition(source, to_text(position)) if position else None

    def row(self, row_id: int, ended_at: str = "2026-11-22 10:01:30", *, recorded: bool = True, **columns: Any) -> None:
        raw = make_raw_row(**{"id": row_id, "started_at": None, "ended_at": datetime.fromisoformat(ended_at)} | columns)
        self.table.put(raw)
        if recorded:
            assert self.shop.submit_row(**raw) is not Outcome.PUT_BACK

    def reconcile(
        self, first: date = DAY, last: date = DAY, *, queue_missing: bool = False, page_size: int = 500
    ) -> Reconciliation:
        source = InMemoryCallLog(self.table, self.shop.clock, page_size=page_size)
        clock, stalled_after = self.shop.clock, TIMES.stalled_after
        reconciler = Reconciler(source, self.positions, self.ledger, self.queue, clock, stalled_after)
        return reconcile(reconciler, first, last, queue_missing=queue_missing)


@pytest.fixture
def site(shop: Workshop) -> Site:
    return Site(shop)


def test_when_every_row_has_its_record_nothing_is_missing(site: Site, events: Events) -> None:
    site.row(1)
    site.row(2)
    assert site.reconcile() == ALL_WELL
    line = {"event": "reconcile.finished", "level": "INFO", "rows": 2, "missing": 0, "only_in_ledger": 0, "queued": 0}
    assert events.only("reconcile.finished") == line


@pytest.mark.parametrize(
    "columns",
    [{"answered": False}, {"extension": "999"}, {"caller_number": True}, {"call_id": ""}],
    ids=["skipped", "rejected", "no call", "no place on a day"],
)
def test_what_was_not_logged_is_recorded_too(site: Site, columns: dict[str, Any]) -> None:
    site.row(1)
    site.row(2, **columns)
    assert site.reconcile() == ALL_WELL


def test_rows_that_share_a_key_have_a_record_each(site: Site) -> None:
    site.shop.go_by(pbx_call_id="{call_id}")
    site.row(1)
    site.row(2)
    assert len(site.shop.api.submitted) == 1
    assert site.reconcile() == ALL_WELL


def test_only_rows_that_ended_within_the_days_count_both_included(site: Site) -> None:
    ends = ["2026-11-20 23:59:59", "2026-11-21 00:00:00", "2026-11-22 23:59:59", "2026-11-23 00:00:00"]
    for row_id, ended_at in enumerate(ends, start=1):
        site.row(row_id, ended_at, recorded=False)
    assert site.reconcile(date(2026, 11, 21), date(2026, 11, 22)).missing_ids == ["2", "3"]


@pytest.mark.parametrize(
    ("position", "missing"),
    [(IdPosition(2), ["1", "2"]), (None, []), (IdPosition(), [])],
    ids=["polled until 2", "never polled", "polled an empty table"],
)
def test_rows_beyond_the_position_are_not_missing_yet(
    site: Site, position: IdPosition | None, missing: list[str]
) -> None:
    site.polled_until(position)
    for row_id in (1, 2, 3, 4, 5):
        site.row(row_id, recorded=False)
    found = site.reconcile()
    assert (found.rows, found.missing_ids, found.not_polled_yet) == (5, missing, 5 - len(missing))


def test_a_record_without_its_row_is_named_unless_it_is_of_another_day_or_none(site: Site) -> None:
    site.row(1)
    for row_id, ended_at in ((2, "2026-11-22"), (3, "2026-11-21"), (4, "2026-11-23")):
        site.row(row_id, f"{ended_at} 10:00:00")
        site.table.remove(row_id)
    site.ledger.record(CallKey(UNDATED, "call"), make_message(id=5), SKIPPED, NOON)
    found = site.reconcile()
    assert (found.rows, found.only_in_ledger, found.only_in_ledger_ids) == (1, 1, ["2"])


@pytest.mark.parametrize("day", ["2026-11-21", "2026-11-23"])
def test_a_record_on_the_next_day_by_another_time_zone_is_still_the_rows_own(site: Site, day: str) -> None:
    """The database's days and the ledger's differ by up to one, where a time zone was changed in between."""
    site.row(1)
    site.row(2, "2026-11-22 23:30:00", recorded=False)
    site.ledger.record(CallKey(day, "call"), make_message(id=2), SKIPPED, NOON)
    assert site.reconcile() == ALL_WELL


@pytest.mark.parametrize("page_size", [500, 2], ids=["one page", "many pages"])
def test_missing_rows_are_queued_on_demand_and_then_no_longer_missing(site: Site, page_size: int) -> None:
    for row_id in range(1, 8):
        site.row(row_id, recorded=row_id in (1, 4))
    assert site.reconcile(page_size=page_size).queued == 0
    assert site.queue.texts == []
    for _ in range(2):  # what is still on the queue is sent twice, which does no harm
        found = site.reconcile(page_size=page_size, queue_missing=True)
        assert (found.rows, found.recorded, found.missing, found.queued) == (7, 2, 5, 5)
    assert [letter.records[0].id for letter in site.queue.letters] == ["2", "3", "5", "6", "7"] * 2
    assert site.shop.deliver_visible() == [Outcome.SUBMITTED] * 5 + [Outcome.REPEATED] * 5
    assert site.reconcile(queue_missing=True) == replace(ALL_WELL, rows=7, recorded=7)


def test_a_claim_that_ran_out_long_ago_is_missing_for_its_message_is_lost(site: Site) -> None:
    site.row(1)
    site.row(2, recorded=False)
    site.ledger.claim([make_job(id=2)], NOON - TIMES.claim_lease, TIMES.claim_lease)
    site.shop.clock.move(TIMES.stalled_after)
    assert site.reconcile() == ALL_WELL
    site.shop.clock.move(timedelta(seconds=1))
    found = site.reconcile(queue_missing=True)
    assert (found.missing_ids, found.only_in_ledger, found.queued) == (["2"], 0, 1)


def test_lists_of_ids_stop_at_a_thousand_the_counts_do_not(site: Site) -> None:
    for row_id in range(1, 1_003):
        site.row(row_id, recorded=False)
        site.ledger.record(CallKey("2026-11-22", f"call-{row_id}"), make_message(id=2_000 + row_id), SKIPPED, NOON)
    found = site.reconcile()
    assert (found.missing, len(found.missing_ids), found.missing_ids[-1]) == (1_002, 1_000, "1000")
    assert (found.only_in_ledger, len(found.only_in_ledger_ids)) == (1_002, 1_000)
    assert (found.only_in_ledger_ids[0], found.only_in_ledger_ids[-1]) == ("2001", "3000"), "in the order of numbers"


def test_ids_that_are_texts_come_after_numbers(site: Site) -> None:
    for n, row_id in enumerate(("b", "10", "9", "a")):
        message = make_message().only([replace(make_record(), id=row_id)])
        site.ledger.record(CallKey("2026-11-22", f"call-{n}"), message, SKIPPED, NOON)
    assert site.reconcile().only_in_ledger_ids == ["9", "10", "a", "b"]


@pytest.mark.parametrize("part", ["table", "ledger", "positions"])
def test_without_one_of_its_parts_nothing_is_said(site: Site, part: str, events: Events) -> None:
    error = SourceUnavailable("down") if part == "table" else StorageUnavailable("503")
    getattr(site, part).fail_at(1, error)
    with pytest.raises(type(error)):
        site.reconcile()
    assert events.names == []


def test_how_far_another_kind_of_source_was_polled_says_nothing(site: Site) -> None:
    site.polled_until(IdPosition(7), source="xapi")
    with pytest.raises(PositionOfAnotherSource, match=r"3cx\.source is calllog, but what was polled so far is of xapi"):
        site.reconcile()
