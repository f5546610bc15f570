"""How far along are we? What cannot be read is a problem in its place, and only there."""

from __future__ import annotations

from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta
from threading import Event
from typing import Any

import pytest

from cdr.calls.call import CallKey, Reason, Settlement, State
from cdr.groups.alerts import GroupRecord, GroupView, view_of
from cdr.intake.id_order.position import Gap, IdPosition, to_text
from cdr.intake.poll_history import NO_POLLS, PollReport
from cdr.intake.ports import Lag, Progress, StoredPosition
from cdr.operations.ports import HourCount, LedgerCounts, hours_until
from cdr.operations.side_by_side import Problem
from cdr.operations.status import Depths, ExtensionsNow, GroupNow, HoursNow, Lagging, Overview, Status, status
from cdr.submission.directory import KeptPhoneBook, PhoneBook
from cdr.submission.email_addresses import Addresses
from cdr.wiring.plans import make_hours
from shared.errors import (
    ApiDenied,
    ApiRejected,
    PipelineError,
    SourceMisconfigured,
    SourceUnavailable,
    StorageUnavailable,
)
from tests.fakes.call_api import InMemoryCallApi
from tests.fakes.call_queue import InMemoryCallQueue
from tests.fakes.clock import HandMovedClock
from tests.fakes.directory import InMemoryPhoneBookStore
from tests.fakes.groups import InMemoryGroupStore
from tests.fakes.ledger import InMemoryLedger
from tests.fakes.positions import InMemoryPositionStore
from tests.fakes.row_table import InMemoryCallLog, InMemoryRowTable
from tests.support.factories import ALICE, OUTSIDE, make_message, make_raw_row, make_settings
from tests.support.workshop import NOON

SUNDAY = 'business_hours: {timezone: Europe/Berlin, sunday: {start: "10:00", end: "13:30"}}\n'


class Site:
    """Everything that a status is read from."""

    def __init__(self, clock: HandMovedClock) -> None:
        self.table = InMemoryRowTable(timezone="Europe/Berlin")
        self.positions = InMemoryPositionStore()
        self.queue, self.poison_queue = InMemoryCallQueue(clock), InMemoryCallQueue(clock)
        self.records = InMemoryLedger()
        self.group_store = InMemoryGroupStore()
        self.phone_books = InMemoryPhoneBookStore()
        self.api = InMemoryCallApi()
        self.overview = Overview(
            version="1.2.3",
            started_at=NOON - timedelta(seconds=90),
            source=InMemoryCallLog(self.table, clock),
            positions=self.positions,
            queue=self.queue,
            poison_queue=self.poison_queue,
            check_api=self.check_api,
            records=self.records,
            addresses=Addresses({"101": ALICE}, clock, origin="pbx", store=self.phone_books),
            clock=clock,
            hours=make_hours(make_settings(SUNDAY).business_hours),
            groups={"800": "Sales", "801": "Support"},
            group_store=self.group_store,
            poll_interval=timedelta(seconds=30),
        )

    def check_api(self) -> None:
        self.api.check_health()

    def polled_until(self, position: IdPosition, source: str = "calllog") -> None:
        self.positions.stored = StoredPosition(source, to_text(position))

    @property
    def status(self) -> Status:
        return status(self.overview)


@pytest.fixture
def site(clock: HandMovedClock) -> Site:
    return Site(clock)


def test_before_the_first_poll_there_is_no_progress_and_no_error(site: Site) -> None:
    assert site.status == Status(
        version="1.2.3",
        uptime_s=90,
        source="calllog",
        progress=Progress(),
        last_poll=None,
        polls=NO_POLLS,
        source_watch=(),
        lag=Lagging(Lag(None, 0, None), 0),
        queue=Depths(0, 0),
        api="ok",
        ledger=LedgerCounts({}, {}, [HourCount(hour) for hour in hours_until(NOON)]),
        extensions=ExtensionsNow(1, 0, KeptPhoneBook("pbx")),
        hours=HoursNow(open=True, changes_at=datetime(2026, 11, 22, 12, 30, tzinfo=UTC), timezone="Europe/Berlin"),
        groups=[GroupNow("800", "Sales", GroupView()), GroupNow("801", "Support", GroupView())],
    )
    assert site.status.hours.changes_at.isoformat() == "2026-11-22T13:30:00+01:00", "in the hours' own time zone"


def test_it_shows_how_far_the_source_was_read_and_how_the_last_poll_went(site: Site) -> None:
    site.polled_until(IdPosition(20, {3: NOON, 9: NOON}, (Gap(5, 8, NOON), Gap(11, 11, NOON))))
    site.positions.report = PollReport(NOON, "failed", 3, 250, "SourceUnavailable: the server does not answer")
    assert site.status.progress == Progress(20, open_calls=2, missing_ids=5)
    assert site.status.last_poll == site.positions.report
    site.positions.history = NO_POLLS.after(site.positions.report)
    assert site.status.polls.since == NOON


@pytest.mark.parametrize(
    ("last", "ends", "lagging"),
    [
        (7, {7: "12:00", 10: "12:10", 12: "12:12"}, (12, 5, 50 * 60)),
        (12, {12: "12:00"}, (12, 0, 0)),
        (None, {1: "12:59"}, (1, 1, 60)),
        (1, {2: None}, (2, 1, 0)),
        (1, {2: "13:30"}, (2, 1, 0)),
    ],
    ids=["rows wait", "none waits", "never polled", "the first has not ended", "it ended in the future"],
)
def test_the_lag_is_in_ids_and_in_seconds_since_the_first_waiting_call_ended(
    site: Site, last: int | None, ends: dict[int, str | None], lagging: tuple[int, int, int]
) -> None:
    if last is not None:
        site.polled_until(IdPosition(last))
    for row_id, ended in ends.items():  # in the phone system's own time zone, where noon UTC is at one
        ended_at = datetime.fromisoformat(f"2026-11-22 {ended}") if ended else None
        site.table.put(make_raw_row(id=row_id, started_at=None, ended_at=ended_at))
    lag = site.status.lag
    assert (lag.lag.newest, lag.lag.behind, lag.seconds) == lagging


def test_it_counts_messages_and_calls_by_state_and_shows_what_is_remembered_of_groups(site: Site) -> None:
    site.queue.send_all([make_message()] * 2)
    site.queue.send_later(make_message(), timedelta(minutes=5))
    site.poison_queue.send_all([make_message()])
    for n, state in enumerate([State.REJECTED, State.SKIPPED, State.SKIPPED]):
        site.records.record(CallKey("2026-11-22", f"call-{n}"), None, Settlement(state, Reason.GAVE_UP), NOON)
    site.group_store.records["801"] = GroupRecord(members=2, available=1)
    found = site.status
    assert found.queue == Depths(waiting=3, poison=1)
    assert found.ledger.states == {State.REJECTED: 1, State.SKIPPED: 2}
    assert found.ledger.rejected == {"gave_up": 1}
    assert found.ledger.hours[-1] == HourCount(NOON, skipped=2, rejected=1)
    assert [group.view for group in found.groups] == [GroupView(), view_of(GroupRecord(members=2, available=1))]


def test_it_says_where_addresses_come_from_and_how_old_the_phone_book_is(site: Site, clock: HandMovedClock) -> None:
    book = PhoneBook.of([("101", "other@example.com"), ("102", "bob@example.com"), ("103", None)])
    site.phone_books.kept = kept = KeptPhoneBook("pbx", NOON - timedelta(hours=3), book, NOON, "SourceUnavailable: 503")
    assert site.status.extensions == ExtensionsNow(in_file=1, elsewhere=1, phone_book=kept, age_s=10_800)
    site.overview = replace(site.overview, addresses=Addresses({"101": ALICE}, clock))
    assert site.status.extensions == ExtensionsNow(in_file=1, elsewhere=0)


def test_without_anybody_to_ask_about_groups_they_are_not_checked(site: Site) -> None:
    site.overview = replace(site.overview, group_store=None)
    assert [group.view for group in site.status.groups] == [None, None]


def test_a_position_of_another_source_is_a_problem_and_all_waits_for_a_first_poll(site: Site) -> None:
    site.polled_until(IdPosition(7), source="xapi")
    site.table.put(make_raw_row(id=7))
    assert site.status.progress == Problem("the stored position is of the source xapi, configured is calllog")
    assert site.status.lag.lag.behind == 7


@pytest.mark.parametrize(
    ("part", "error", "places"),
    [
        (
            "positions",
            StorageUnavailable("table CdrState: 503"),
            {"progress", "last_poll", "polls", "source_watch", "lag"},
        ),
        ("table", SourceUnavailable("the server does not answer"), {"lag"}),
        ("table", SourceMisconfigured("3cx.cdr_database.password: refused"), {"lag"}),
        ("queue", StorageUnavailable("queue cdr-calls: 503"), {"queue"}),
        ("poison_queue", StorageUnavailable("queue cdr-calls-poison: 503"), {"queue"}),
        ("api", ApiDenied("the API answered 401"), {"api"}),
        ("records", StorageUnavailable("table CdrCalls: 503"), {"ledger"}),
        ("phone_books", StorageUnavailable("table PhoneBook: 503"), {"extensions"}),
        ("group_store", StorageUnavailable("table CallGroups: 503"), {"groups"}),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_part_that_cannot_be_read_is_a_problem_in_its_place_and_only_there(
    site: Site, part: str, error: PipelineError, places: set[str]
) -> None:
    def by_place() -> dict[str, Any]:
        found = site.status
        return {field.name: getattr(found, field.name) for field in fields(found)}

    whole = by_place()
    getattr(site, part).fail_at(1, error)
    assert by_place() == whole | dict.fromkeys(places, Problem(f"{type(error).__name__}: {error}"))


def test_numbers_that_the_call_logger_repeats_are_masked(site: Site) -> None:
    site.api.fail_at(1, ApiRejected(f"the API answered 400: no number is {OUTSIDE}"))
    assert site.status.api == Problem("ApiRejected: the API answered 400: no number is ***42")


def test_a_problem_has_the_time_of_its_first_look_until_it_is_over(site: Site, clock: HandMovedClock) -> None:
    begun = []
    for fails in (True, True, False, True):
        if fails:
            site.queue.fail_at(1, StorageUnavailable("queue cdr-calls: 503"))
        queue = site.status.queue
        begun.append(queue.since if isinstance(queue, Problem) else None)
        clock.move(timedelta(minutes=1))
    assert begun == [NOON, NOON, None, NOON + timedelta(minutes=3)]


def test_it_knows_since_when_messages_wait_while_no_call_is_settled(site: Site, clock: HandMovedClock) -> None:
    seen = []
    for waits, settled in ((True, 1), (True, 1), (True, 2), (True, 2), (False, 2), (True, 2)):
        if waits and not site.queue.letters:
            site.queue.send_all([make_message()])
        if not waits:
            site.queue.take()
        site.records.record(CallKey("2026-11-22", f"{settled}"), None, Settlement(State.SKIPPED, Reason.INTERNAL), NOON)
        seen.append(site.status.stands_since)
        clock.move(timedelta(minutes=1))
    minutes = [None if since is None else (since - NOON) // timedelta(minutes=1) for since in seen]
    assert minutes == [None, 0, None, 2, None, None]


def test_a_damaged_position_is_a_problem_and_no_failure(site: Site) -> None:
    site.positions.stored = StoredPosition("calllog", "{")
    assert "PositionUnreadable: the stored position is damaged" in site.status.progress.error
    assert isinstance(site.status.lag, Problem)


@pytest.mark.parametrize(
    ("part", "operation", "places"),
    [
        ("positions", "read", {"progress", "last_poll", "polls", "source_watch", "lag"}),
        ("table", "connect", {"lag"}),
        ("queue", "depth", {"queue"}),
        ("api", "check_health", {"api"}),
        ("records", "counts", {"ledger"}),
        ("group_store", "load", {"groups"}),
    ],
)
def test_a_part_that_does_not_answer_is_named_and_holds_up_nothing(
    site: Site, monkeypatch: pytest.MonkeyPatch, part: str, operation: str, places: set[str]
) -> None:
    whole, over = site.status, Event()
    monkeypatch.setattr(getattr(site, part), operation, lambda *_: over.wait(10))
    site.overview = replace(site.overview, longest_look_s=0.4)
    late = Problem("no answer within 0.4 s")
    assert site.status == replace(whole, **dict.fromkeys(places, late))
    over.set()
