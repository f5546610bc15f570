"""Is a call missing? The phone system's calls against the ledger, and what of them can be known."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, datetime, timedelta
from typing import Any

import pytest

from cdr.calls.call import UNDATED, CallKey, Reason, Settlement, State
from cdr.calls.message import Message
from cdr.calls.packing import Packing
from cdr.intake.id_order.position import IdPosition, to_text
from cdr.intake.ports import StoredPosition
from cdr.operations.reconcile import Reconciler, Reconciliation, reconcile, reconcile_last_days
from cdr.operations.watch_memory import Remembered
from cdr.submission.submit import Outcome, submit
from shared.errors import DaysForgotten, PositionOfAnotherSource, SourceUnavailable, StorageUnavailable
from tests.fakes.positions import InMemoryPositionStore
from tests.fakes.row_table import InMemoryCallLog, InMemoryRowTable
from tests.support.events import Events
from tests.support.factories import make_job, make_message, make_raw_row, make_record
from tests.support.pollers import ONE_EACH
from tests.support.workshop import NOON, TIMES, Workshop

DAY = date(2026, 11, 22)
SKIPPED = Settlement(State.SKIPPED, Reason.UNANSWERED)
NONE = dict.fromkeys(
    (
        "not_polled_yet",
        "before_start",
        "may_be_queued",
        "missing",
        "changed",
        "again",
        "changed_late",
        "only_in_ledger",
    ),
    0,
) | {f"{name}_ids": [] for name in ("missing", "changed", "again", "changed_late", "only_in_ledger")}
ALL_WELL = Reconciliation(rows=2, recorded=2, **NONE)

pytestmark = pytest.mark.usefixtures("events")


class Site:
    """A phone system, a position and a worker whose ledger is compared."""

    def __init__(self, shop: Workshop) -> None:
        self.shop, self.ledger, self.queue = shop, shop.ledger, shop.queue
        self.table = InMemoryRowTable()
        self.positions = InMemoryPositionStore()
        self.polled_until(IdPosition(1_000_000))

    def polled_until(
        self, position: IdPosition | None, source: str = "calllog", began: IdPosition | None = None
    ) -> None:
        first = to_text(began) if began else None
        self.positions.stored = StoredPosition(source, to_text(position), first) if position else None

    def row(self, row_id: int, ended_at: str = "2026-11-22 10:01:30", *, recorded: bool = True, **columns: Any) -> None:
        raw = make_raw_row(**{"id": row_id, "started_at": None, "ended_at": datetime.fromisoformat(ended_at)} | columns)
        self.table.put(raw)
        if recorded:
            assert self.shop.submit_row(**raw) is not Outcome.PUT_BACK

    def reconciler(self, page_size: int = 500) -> Reconciler:
        return Reconciler(
            source=InMemoryCallLog(self.table, self.shop.clock, page_size=page_size),
            positions=self.positions,
            records=self.ledger,
            queue=self.queue,
            clock=self.shop.clock,
            rules=self.shop.worker.rules,
            stalled_after=TIMES.stalled_after,
            keep=timedelta(days=90),
            time_budget=timedelta(seconds=120),
            packing=ONE_EACH,
        )

    def reconcile(
        self, first: date = DAY, last: date = DAY, *, queue_missing: bool = False, page_size: int = 500
    ) -> Reconciliation:
        return reconcile(self.reconciler(page_size), first, last, queue_missing=queue_missing)


@pytest.fixture
def site(shop: Workshop) -> Site:
    return Site(shop)


def test_when_every_row_has_its_record_nothing_is_missing(site: Site, events: Events) -> None:
    site.row(1)
    site.row(2)
    assert site.reconcile() == ALL_WELL
    found = {"rows": 2, "missing": 0, "changed": 0, "changed_late": 0, "may_be_queued": 0, "only_in_ledger": 0}
    days = {"first": str(DAY), "last": str(DAY), "complete": True, "queued": 0}
    line = {"event": "reconcile.finished", "level": "INFO"} | days | found
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
    site.row(3, recorded=False)
    assert site.reconcile().missing_ids == ["3"]


@pytest.mark.parametrize("template", ["{id}:{call_id}", "{id}", "{call_id}"])
def test_a_changed_template_makes_no_call_a_missing_one(site: Site, template: str) -> None:
    site.row(1, call_id="a")
    site.row(2, call_id="b")
    site.shop.go_by(pbx_call_id=template)
    assert site.reconcile(queue_missing=True) == ALL_WELL
    site.row(1, call_id="another call since the ids started again", recorded=False)
    assert site.reconcile().missing_ids == ["1"]


@pytest.mark.parametrize("template", [None, "{id}:{call_id}", "{id}"])
def test_a_template_that_keeps_rows_apart_since_lately_makes_no_call_a_missing_one(
    site: Site, template: str | None
) -> None:
    """Those that stood under their call's name alone have no day in the ledger."""
    site.shop.go_by(pbx_call_id="{call_id}")
    for row_id, call_id in enumerate("aab", start=1):
        site.row(row_id, call_id=call_id)
    site.row(4, call_id="c", answered=False)
    site.positions.remembered = Remembered(named_by=template or "", named_before="{call_id}").to_text()
    site.shop.go_by(pbx_call_id=template)
    assert site.reconcile() == replace(ALL_WELL, rows=4, recorded=4)
    site.row(5, call_id="d", recorded=False)
    assert site.reconcile().missing_ids == ["5"]


def test_only_rows_that_ended_within_the_days_count_both_included(site: Site) -> None:
    ends = ["2026-11-20 23:59:59", "2026-11-21 00:00:00", "2026-11-22 23:59:59", "2026-11-23 00:00:00"]
    for row_id, ended_at in enumerate(ends, start=1):
        site.row(row_id, ended_at, recorded=False)
    assert site.reconcile(date(2026, 11, 21), date(2026, 11, 22)).missing_ids == ["2", "3"]


@pytest.mark.parametrize(
    ("position", "missing"),
    [
        (IdPosition(3), ["1", "2", "3"]),
        (IdPosition(3, {2: NOON}), ["1", "3"]),
        (None, []),
        (IdPosition(), []),
    ],
    ids=["polled until 3", "2 had not ended by then", "never polled", "polled an empty table"],
)
def test_rows_that_a_poll_has_still_to_come_by_are_not_missing_yet(
    site: Site, position: IdPosition | None, missing: list[str]
) -> None:
    site.polled_until(position)
    for row_id in (1, 2, 3, 4, 5):
        site.row(row_id, recorded=False)
    found = site.reconcile()
    assert (found.rows, found.missing_ids, found.not_polled_yet) == (5, missing, 5 - len(missing))


def test_rows_before_the_point_where_reading_began_are_of_no_interest(site: Site) -> None:
    site.polled_until(IdPosition(100), began=IdPosition(3))
    for row_id in (1, 2, 3, 4):
        site.row(row_id, recorded=row_id == 2)
    found = site.reconcile()
    assert (found.recorded, found.before_start, found.missing_ids) == (1, 2, ["4"])


def test_a_call_over_midnight_that_stands_under_the_day_it_began_is_compared_with_the_day_it_ended(site: Site) -> None:
    began = "00000000-01dd-7adc-2f8a-c4000000301f"  # 22 November 2026, 23:50 UTC
    record = make_record(id=began, ended_at="2026-11-23 00:10:00", started_at=None)
    submit(Message((record,)), site.shop.worker)
    assert [key.day for key in site.ledger.records] == ["2026-11-22"]
    assert site.reconcile().only_in_ledger == 0
    assert site.reconcile(last=date(2026, 11, 23)).only_in_ledger_ids == [began]


def test_a_record_without_its_row_is_named_unless_it_is_of_another_day_or_garbage(site: Site) -> None:
    site.row(1)
    for row_id, ended_at in ((2, "2026-11-22"), (3, "2026-11-21"), (4, "2026-11-23")):
        site.row(row_id, f"{ended_at} 10:00:00")
        site.table.remove(row_id)
    site.ledger.record(CallKey(UNDATED, "message-1"), None, SKIPPED, NOON)
    found = site.reconcile()
    assert (found.rows, found.only_in_ledger, found.only_in_ledger_ids) == (1, 1, ["2"])


def test_a_record_on_the_next_day_by_another_time_zone_is_still_the_rows_own(site: Site) -> None:
    """The database's days and the ledger's differ by up to one, where a time zone was changed in between."""
    site.row(1)
    site.row(2, "2026-11-22 23:30:00", recorded=False)
    record = make_job(id=2).record
    site.ledger.record(CallKey("2026-11-23", "0000017F-7-2"), make_message().only([record]), SKIPPED, NOON)
    assert replace(site.reconcile(), changed=0, changed_ids=[]) == replace(ALL_WELL, recorded=1)


@pytest.mark.parametrize("page_size", [500, 2], ids=["one page", "many pages"])
def test_missing_rows_are_queued_on_demand_and_then_no_longer_missing(site: Site, page_size: int) -> None:
    for row_id in range(1, 8):
        site.row(row_id, recorded=row_id in (1, 4))
    assert site.reconcile(page_size=page_size).queued == 0
    assert site.queue.texts == []
    found = site.reconcile(page_size=page_size, queue_missing=True)
    assert (found.rows, found.recorded, found.missing, found.queued) == (7, 2, 5, 5)
    assert sorted(letter.records[0].id for letter in site.queue.letters) == ["2", "3", "5", "6", "7"]
    assert site.shop.deliver_visible() == [Outcome.SUBMITTED] * 5
    assert site.reconcile(queue_missing=True) == replace(ALL_WELL, rows=7, recorded=7)


# What may be on the queue


@pytest.mark.parametrize(
    ("waiting", "missing"),
    [(0, ["1", "2", "3"]), (1, ["1", "2"]), (3, []), (4, [])],
    ids=["nothing on the queue", "one message", "as many", "more"],
)
def test_as_many_calls_as_messages_wait_are_not_missing_the_newest_ones(
    site: Site, waiting: int, missing: list[str]
) -> None:
    for row_id in (1, 2, 3):
        site.row(row_id, f"2026-11-22 1{row_id}:00", recorded=False)
    site.queue.send_all([make_message(id=9)] * waiting)
    found = site.reconcile(queue_missing=True)
    assert (found.missing_ids, found.may_be_queued, found.queued) == (missing, 3 - len(missing), len(missing))


def test_messages_of_calls_that_workers_have_in_hand_are_no_others(site: Site) -> None:
    site.row(1, recorded=False)
    site.row(2, recorded=False)
    site.ledger.claim([make_job(id=2, started_at=None)], NOON, TIMES.claim_lease)
    site.queue.send_all([make_message(id=2)])
    found = site.reconcile()
    assert (found.missing_ids, found.may_be_queued, found.recorded) == (["1"], 0, 1)


def test_a_message_that_nobody_has_looked_at_may_be_full(site: Site) -> None:
    for row_id in (1, 2, 3, 4):
        site.row(row_id, f"2026-11-22 1{row_id}:00", recorded=False)
    site.ledger.claim([make_job(id=4, started_at=None)], NOON, TIMES.claim_lease)
    packed = replace(site.reconciler(), packing=Packing(1, 2))
    for waiting, missing in ((1, ["1", "2", "3"]), (2, ["1"])):
        site.queue.messages.clear()
        site.queue.send_all([make_message(id=9)] * waiting)
        assert reconcile(packed, DAY, DAY).missing_ids == missing


def test_what_is_missing_is_queued_packed_but_what_has_a_record_elsewhere_by_itself(site: Site) -> None:
    for row_id in (1, 2, 3, 4):
        site.row(row_id, recorded=row_id == 4, answered=row_id != 4)
    site.row(4, recorded=False)
    packed = replace(site.reconciler(), packing=Packing(1, 2))
    reconcile(packed, DAY, DAY, queue_missing=True, again="unanswered")
    letters = [letter for letter in site.queue.letters if isinstance(letter, Message)]
    sent = [([record.id for record in letter.records], letter.replay_of is None) for letter in letters]
    assert sent == [(["1", "2"], True), (["3"], True), (["4"], False)]


# What is recorded, and yet not right


def test_a_claim_that_ran_out_long_ago_is_missing_for_its_message_is_lost(site: Site) -> None:
    site.row(1)
    site.row(2, recorded=False)
    site.ledger.claim([make_job(id=2, started_at=None)], NOON - TIMES.claim_lease, TIMES.claim_lease)
    site.shop.clock.move(TIMES.stalled_after)
    assert site.reconcile() == ALL_WELL
    site.shop.clock.move(timedelta(seconds=1))
    found = site.reconcile(queue_missing=True)
    assert (found.missing_ids, found.only_in_ledger, found.queued) == (["2"], 0, 1)


def test_a_claim_by_a_clock_that_was_a_year_ahead_is_missing_for_nobody_knows_of_its_message(site: Site) -> None:
    site.row(1, recorded=False)
    site.ledger.claim([make_job(id=1, started_at=None)], NOON + timedelta(days=365), TIMES.claim_lease)
    assert site.reconcile().missing_ids == ["1"]


def test_another_call_under_a_number_that_was_given_twice_is_missing(site: Site) -> None:
    site.shop.go_by(pbx_call_id="{id}")
    site.row(1, call_id="before", started_at="2026-11-22 09:00")
    site.row(1, call_id="after", started_at="2026-11-22 10:00", recorded=False)
    assert site.reconcile().missing_ids == ["1"]
    site.shop.go_by(pbx_call_id=None)
    assert site.reconcile().missing_ids == ["1"], "and so it is where the call's own name is part of its key"


CHANGES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "answered later": ({"answered": False}, {}),
    "its duration came later": ({"duration_s": None}, {}),
    "another extension": ({"extension": "999"}, {}),
}


@pytest.mark.parametrize(("before", "after"), CHANGES.values(), ids=CHANGES)
def test_a_call_that_was_not_logged_and_whose_row_was_written_to_since_is_judged_once_more(
    site: Site, events: Events, before: dict[str, Any], after: dict[str, Any]
) -> None:
    site.row(1)
    site.row(2, **before)
    site.row(2, recorded=False, **after)
    found = site.reconcile(queue_missing=True)
    assert (found.changed_ids, found.missing, found.queued) == (["2"], 0, 1)
    assert events.named("reconcile.finished")[-1]["level"] == "WARNING"
    assert site.shop.deliver_visible() == [Outcome.SUBMITTED]
    assert site.reconcile() == ALL_WELL


def test_what_is_in_and_was_changed_since_is_told_and_stays_as_it_is(site: Site) -> None:
    site.row(1)
    site.row(2)
    site.row(2, recorded=False, duration_s=91)
    found = site.reconcile(queue_missing=True)
    assert found == replace(ALL_WELL, changed_late=1, changed_late_ids=["2"])
    assert site.queue.texts == []


def test_what_was_skipped_for_a_reason_can_be_judged_by_the_rules_of_now(site: Site) -> None:
    site.row(1)
    site.row(2, answered=False)
    site.row(3, extension="999")
    site.shop.go_by(include_unanswered=True)
    assert site.reconcile().queued == 0, "by itself nothing is judged twice"
    found = reconcile(site.reconciler(), DAY, DAY, queue_missing=True, again="unanswered")
    assert (found.again_ids, found.missing, found.queued) == (["2"], 0, 1)
    assert site.shop.deliver_visible() == [Outcome.SUBMITTED]
    assert reconcile(site.reconciler(), DAY, DAY, again="unanswered").again == 0


def test_a_row_that_was_given_up_and_ended_later_is_brought_in_and_its_old_record_closed(site: Site) -> None:
    site.row(1)
    assert site.shop.submit_row(id=2, started_at=None, ended_at=None) is Outcome.REJECTED
    site.row(2, recorded=False)
    assert site.reconcile(queue_missing=True).missing_ids == ["2"]
    assert site.shop.deliver_visible() == [Outcome.SUBMITTED]
    assert site.shop.record(CallKey(UNDATED, "0000017F-7-2")).reason == "replayed"
    assert site.reconcile() == ALL_WELL


def test_records_of_1_0_0_which_say_less_are_taken_for_the_rows_own(site: Site) -> None:
    site.row(1)
    site.row(2, answered=False)
    site.ledger.records = {key: replace(found, call="", facts="") for key, found in site.ledger.records.items()}
    site.row(2, recorded=False)
    assert site.reconcile() == ALL_WELL


# What cannot be known


def test_days_of_which_records_were_removed_are_refused_with_the_reason(site: Site) -> None:
    oldest = (NOON - timedelta(days=90)).date() + timedelta(days=1)
    site.reconcile(oldest, oldest)
    with pytest.raises(
        DaysForgotten, match=r"90 days \(ledger\.keep_days\): of days before 2026-08-25 nobody can know"
    ):
        site.reconcile(oldest - timedelta(days=1), DAY)


def test_what_takes_too_long_says_so_and_tells_what_it_knows(site: Site, events: Events) -> None:
    class SlowTable(InMemoryRowTable):
        def operation(self, name: str) -> Any:
            site.shop.clock.move(timedelta(seconds=70 if name == "rows_ended_between" else 0))
            return super().operation(name)

    site.table = SlowTable()
    for row_id in range(1, 8):
        site.row(row_id, recorded=False)
    found = site.reconcile(page_size=2)
    assert (found.complete, found.rows, found.only_in_ledger) == (False, 4, 0)
    assert events.only("reconcile.finished")["level"] == "WARNING"


def test_so_much_may_be_missing_that_it_is_done_in_steps(site: Site) -> None:
    for row_id in range(20):
        site.row(row_id, recorded=False)
    reconciler, queued = replace(site.reconciler(page_size=4), most_at_once=10), []
    while not queued or queued[-1]:
        found = reconcile(reconciler, DAY, DAY, queue_missing=True)
        queued.append(found.queued)
        site.shop.deliver_visible()
    assert (queued, found.complete, found.recorded) == ([12, 8, 0], True, 20)


# By itself


def test_the_last_days_are_reconciled_by_a_timer_and_what_is_missing_is_queued(site: Site, events: Events) -> None:
    for n, day in enumerate((18, 19, 22), start=1):
        site.row(n, f"2026-11-{day} 10:00", recorded=False)
    found = reconcile_last_days(site.reconciler(), 3)
    assert (found.missing_ids, found.queued, site.queue.depth()) == (["2", "3"], 2, 2)
    line = events.only("reconcile.finished")
    assert (line["level"], line["first"], line["last"]) == ("WARNING", "2026-11-19", "2026-11-22")


def test_a_timer_never_asks_for_days_that_are_forgotten(site: Site) -> None:
    reconciler = replace(site.reconciler(), keep=timedelta(days=7))
    assert reconcile_last_days(reconciler, 31).rows == 0


@pytest.mark.parametrize(
    ("error", "reason"),
    [(SourceUnavailable("down"), "down"), (KeyError("sig=secret"), "a defect of the app")],
    ids=["an outage", "a defect"],
)
def test_a_run_that_fails_is_one_line(site: Site, events: Events, error: Exception, reason: str) -> None:
    site.table.fail_at(1, error)
    with pytest.raises(type(error)):
        reconcile_last_days(site.reconciler(), 3)
    line = {"event": "reconcile.failed", "level": "ERROR", "error": type(error).__name__, "reason": reason}
    assert events.only("reconcile.failed") == line


def test_no_more_of_the_ledger_is_read_than_the_days_and_their_neighbours_each_once(site: Site) -> None:
    for n in range(40):
        site.row(n, f"2026-11-{20 + (n + n % 2) // 14} 10:00", recorded=n != 20)
    site.ledger.operations.clear()
    assert site.reconcile(date(2026, 11, 20), DAY, page_size=4).recorded == 39
    assert site.ledger.operations.count("entries") <= 5
    assert site.ledger.operations.count("entry") == 0


# Lists and failures


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


@pytest.mark.parametrize("part", ["table", "ledger", "positions", "queue"])
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
