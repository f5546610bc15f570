"""What every PositionStore does: the fake, and a table in Azurite."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from cdr.edges.storage.positions import TablePositionStore
from cdr.intake.poll_history import NO_POLLS, PollReport
from cdr.intake.ports import KeptPosition, PositionLease, PositionStore, StoredPosition
from shared.errors import LeaseHeld, LeaseLost, PositionFull
from tests.fakes.positions import InMemoryPositionStore
from tests.support.events import Events
from tests.systems.storage import Fault, Line, Storage

NOW = datetime(2026, 11, 20, 9, 0, 0, 123000, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
REPORT = PollReport(NOW, "finished", queued=3, duration_ms=250)
SEVEN, EIGHT, NINE = (
    StoredPosition("calllog", f'{{"position":{n}}}', began)
    for n, began in ((7, None), (8, "{}"), (9, '{"position":1}'))
)
ROOM = 420_000
"""Characters that a position may have."""

OpenStore = Callable[[], PositionStore]


@pytest.fixture(params=["fake", "azurite"])
def open_store(request: pytest.FixtureRequest) -> OpenStore:
    """Opens the store as another process does: what one has written, the others see."""
    if request.param == "fake":
        fake = InMemoryPositionStore()
        return lambda: fake
    storage: Storage = request.getfixturevalue("storage")
    name = storage.new_name()
    return lambda: TablePositionStore(storage.account, name)


@pytest.fixture
def store(open_store: OpenStore) -> PositionStore:
    return open_store()


def saved(store: PositionStore, stored: StoredPosition, owner: str = "first") -> PositionLease:
    """A lease by which this was saved."""
    return store.save(store.lease(owner, NOW, MINUTE), stored, NOW, MINUTE)


# The lease


def test_before_anything_was_saved_there_is_no_position_whoever_asks(store: PositionStore) -> None:
    assert store.read() == KeptPosition()
    failed = PollReport(NOW, "failed", error="SourceUnavailable: down")
    lease = store.lease("first", NOW, MINUTE)
    assert (lease.stored, store.read()) == (None, KeptPosition())
    store.release(lease, failed)
    assert (store.lease("second", NOW, MINUTE).stored, store.read()) == (
        None,
        KeptPosition(report=failed, history=NO_POLLS.after(failed)),
    )


def test_while_one_has_the_lease_no_other_gets_it_until_it_ran_out(open_store: OpenStore) -> None:
    saved(open_store(), SEVEN)
    with pytest.raises(LeaseHeld, match=r"until 09:01:00 UTC"):
        open_store().lease("second", NOW + MINUTE - timedelta(seconds=1), MINUTE)
    taken = open_store().lease("second", NOW + MINUTE, MINUTE)
    assert (taken.owner, taken.stored) == ("second", SEVEN)


def test_a_lease_by_a_clock_that_was_a_year_ahead_keeps_nobody_out(open_store: OpenStore) -> None:
    open_store().lease("first", NOW + timedelta(days=365), MINUTE)
    assert open_store().lease("second", NOW, MINUTE).owner == "second"


def test_saving_renews_the_lease(open_store: OpenStore) -> None:
    first = open_store()
    first.save(first.lease("first", NOW, MINUTE), SEVEN, NOW + MINUTE / 2, MINUTE)
    with pytest.raises(LeaseHeld):
        open_store().lease("second", NOW + MINUTE, MINUTE)
    open_store().lease("second", NOW + MINUTE * 1.5, MINUTE)


def test_a_lease_that_ran_out_while_nobody_came_can_still_save(store: PositionStore) -> None:
    store.save(store.lease("first", NOW, MINUTE), SEVEN, NOW + 10 * MINUTE, MINUTE)
    assert store.read().stored == SEVEN


def test_who_was_overtaken_saves_nothing(open_store: OpenStore) -> None:
    first, second = open_store(), open_store()
    lost = saved(first, SEVEN)
    taken = second.lease("second", NOW + MINUTE, MINUTE)
    with pytest.raises(LeaseLost):
        first.save(lost, EIGHT, NOW + MINUTE, MINUTE)
    assert open_store().read().stored == SEVEN
    second.save(taken, NINE, NOW + MINUTE, MINUTE)
    assert open_store().read().stored == NINE


def test_an_older_version_of_ones_own_lease_saves_nothing(store: PositionStore) -> None:
    old = store.lease("first", NOW, MINUTE)
    lease = store.save(old, SEVEN, NOW, MINUTE)
    with pytest.raises(LeaseLost):
        store.save(old, EIGHT, NOW, MINUTE)
    assert (lease.stored, store.read().stored) == (SEVEN, SEVEN)
    assert store.save(lease, NINE, NOW, MINUTE).stored == NINE
    assert store.read().stored == NINE


def test_of_many_that_ask_at_the_same_moment_one_gets_the_lease(open_store: OpenStore) -> None:
    stores = {f"owner {number}": open_store() for number in range(4)}
    for store in stores.values():
        store.read()
    with ThreadPoolExecutor(len(stores)) as pool:
        for round_ in range(8):
            now, start = NOW + round_ * MINUTE, threading.Barrier(len(stores))

            def ask(owner: str, now: datetime = now, start: threading.Barrier = start) -> bool:
                start.wait(10)
                try:
                    return stores[owner].lease(owner, now, MINUTE).owner == owner
                except LeaseHeld:
                    return False

            assert sorted(pool.map(ask, stores)) == [False, False, False, True]


# Giving it back


@pytest.mark.parametrize(
    "report",
    [REPORT, PollReport(NOW, "failed", error='SourceUnavailable: the "database" 漢字\nis down ' + "x" * 1_000)],
    ids=["finished", "failed"],
)
def test_a_lease_given_back_leaves_a_report_and_lets_the_next_in_at_once(
    open_store: OpenStore, report: PollReport
) -> None:
    first = open_store()
    first.release(saved(first, SEVEN), report)
    assert open_store().read() == KeptPosition(SEVEN, report, history=NO_POLLS.after(report))
    assert open_store().lease("second", NOW, MINUTE).stored == SEVEN
    assert open_store().read() == KeptPosition(SEVEN, report, history=NO_POLLS.after(report))


def test_what_is_remembered_stays_until_it_is_replaced(open_store: OpenStore) -> None:
    lease = open_store().lease("first", NOW, MINUTE)
    open_store().release(lease, REPORT, "what was seen")
    lease = open_store().lease("second", NOW, MINUTE)
    assert (lease.memory, open_store().read().memory) == ("what was seen",) * 2
    lease = open_store().save(lease, SEVEN, NOW, MINUTE)
    assert lease.memory == "what was seen"
    open_store().release(lease, REPORT)
    assert open_store().read() == KeptPosition(
        SEVEN, REPORT, "what was seen", history=NO_POLLS.after(REPORT).after(REPORT)
    )


def test_giving_back_a_lost_lease_is_no_error_and_changes_nothing(open_store: OpenStore) -> None:
    first, second = open_store(), open_store()
    lost = first.lease("first", NOW, MINUTE)
    second.lease("second", NOW + MINUTE, MINUTE)
    first.release(lost, REPORT)
    assert open_store().read() == KeptPosition()
    with pytest.raises(LeaseHeld):
        open_store().lease("third", NOW + MINUTE, MINUTE)


# What fits


def test_a_position_just_within_the_limit_fits_and_a_shorter_one_leaves_nothing_of_it(open_store: OpenStore) -> None:
    store = open_store()
    long = StoredPosition("legs", "x" * ROOM)
    store.check_size(long.text)
    lease = saved(store, long)
    assert open_store().read().stored == long
    store.save(lease, SEVEN, NOW, MINUTE)
    assert open_store().read().stored == SEVEN
    with pytest.raises(PositionFull, match="at most 420000 "):
        store.check_size("x" * (ROOM + 1))


# The real thing alone


@pytest.fixture
def table(storage: Storage, line: Line) -> TablePositionStore:
    """On a line that a test can break."""
    store = TablePositionStore(storage.account, storage.new_name())
    store.read()  # so that the table is there
    return store


def test_the_longest_position_leaves_room_for_a_report_where_an_entity_ends_at_1_mib(storage: Storage) -> None:
    """Azurite takes more than Azure does."""
    name = storage.new_name()
    saved(TablePositionStore(storage.account, name), StoredPosition("calllog", "x" * ROOM))
    (entity,) = storage.plain_table(name).list_entities()
    assert sum(2 * len(text) for text in entity.values() if isinstance(text, str)) < 2**20 - 2**17


OF_1_0_0 = {
    "PartitionKey": "checkpoint",
    "RowKey": "cdr",
    "owner": "0f0e",
    "leased_until": datetime(2000, 1, 1, tzinfo=UTC),
    "report": '{"at": "2026-11-20T09:00:00.123000+00:00", "result": "finished", "queued": 3, "duration_ms": 250, '
    '"error": null}',
}


def test_what_1_0_0_stored_is_read_and_goes_on(storage: Storage) -> None:
    texts = (Path(__file__).parents[1] / "data" / "v1" / "positions.jsonl").read_text().splitlines()
    for text in texts:
        name = storage.new_name()
        store = TablePositionStore(storage.account, name)
        assert store.read() == KeptPosition()
        pieces = {"state_0": text} | {f"state_{n}": "" for n in range(1, 14)}
        storage.plain_table(name).create_entity(OF_1_0_0 | pieces)
        assert store.read() == KeptPosition(StoredPosition("calllog", text), REPORT)
        store.release(store.save(store.lease("new", NOW, MINUTE), NINE, NOW, MINUTE), REPORT)
        (entity,) = storage.plain_table(name).list_entities()
        assert (entity["state_0"], entity["state_13"], entity["leased_until"].year) == (NINE.text, "", 2000)
        assert json.loads(entity["report"]).items() >= json.loads(OF_1_0_0["report"]).items()
        assert store.read().older_at == NOW, "an earlier version had polled before"
        store.release(store.lease("new", NOW + MINUTE, MINUTE), REPORT)
        assert store.read().older_at == NOW


@pytest.mark.parametrize("until", ["2026-11-20T09:00:00Z", "", 5, True])
def test_a_lease_that_cannot_be_read_is_held_for_as_long_as_ours_would_be(storage: Storage, until: str | int) -> None:
    name = storage.new_name()
    store = TablePositionStore(storage.account, name)
    store.read()
    plain, now = storage.plain_table(name), datetime.now(UTC)
    plain.create_entity(OF_1_0_0 | {"leased_until": until, "state_0": SEVEN.text})
    with pytest.raises(LeaseHeld):
        store.lease("another", now + MINUTE / 2, MINUTE)
    assert store.lease("another", now + 2 * MINUTE, MINUTE).stored == SEVEN


@pytest.mark.parametrize("report", ["", "{", "5", "null", '{"at": "yesterday"}', '{"result": "finished"}'])
def test_a_report_that_is_damaged_is_none(storage: Storage, report: str) -> None:
    name = storage.new_name()
    store = TablePositionStore(storage.account, name)
    store.read()
    storage.plain_table(name).create_entity(OF_1_0_0 | {"report": report, "state_0": "{"})
    assert store.read() == KeptPosition(StoredPosition("calllog", "{"))


@pytest.mark.parametrize("fault", ["answer lost", "answered 503", "not sent"])
def test_a_write_that_was_carried_out_although_its_answer_was_lost_is_ones_own(
    table: TablePositionStore, line: Line, fault: Fault
) -> None:
    def on(method: str) -> TablePositionStore:
        assert line.is_sound
        line.fail_next(method, fault)
        return table

    lease = on("POST").lease("first", NOW, MINUTE)
    lease = on("PATCH").save(lease, SEVEN, NOW, MINUTE)
    lease = on("PATCH").save(lease, EIGHT, NOW, MINUTE)
    on("PATCH").release(lease, REPORT)
    assert on("PATCH").lease("second", NOW, MINUTE).stored == EIGHT
    assert line.is_sound
    assert table.read() == KeptPosition(EIGHT, REPORT, history=NO_POLLS.after(REPORT))


def test_a_lost_answer_does_not_hide_that_another_poll_took_over(table: TablePositionStore, line: Line) -> None:
    lost = table.lease("first", NOW, MINUTE)
    taken = table.lease("second", NOW + MINUTE, MINUTE)
    line.fail_next("PATCH", "answer lost")
    with pytest.raises(LeaseLost):
        table.save(lost, SEVEN, NOW + MINUTE, MINUTE)
    table.save(taken, NINE, NOW + MINUTE, MINUTE)


def test_a_table_that_was_deleted_is_made_anew_and_said_so(storage: Storage, events: Events) -> None:
    name = storage.new_name()
    store = TablePositionStore(storage.account, name)
    lease = saved(store, SEVEN)
    storage.plain_table(name).delete_table()
    with pytest.raises(LeaseLost):
        store.save(lease, EIGHT, NOW, MINUTE)
    assert events.only("storage.made_anew") == {
        "event": "storage.made_anew",
        "level": "ERROR",
        "what": f"table {name}",
    }
    saved(store, NINE, "second")
    storage.plain_table(name).delete_table()
    assert store.read() == KeptPosition()
    storage.plain_table(name).delete_table()
    assert store.lease("third", NOW, MINUTE).stored is None
    assert len(events.named("storage.made_anew")) == 3
