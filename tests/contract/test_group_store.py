"""What every GroupStore does: the twin, and a table in Azurite."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest

from cdr.edges.storage.groups import TableGroupStore
from cdr.groups.alerts import AlertType, GroupRecord, GroupState, OpenAlert
from cdr.groups.ports import GroupStore
from shared.errors import LeaseHeld, StorageUnavailable
from tests.fakes.groups import InMemoryGroupStore
from tests.systems.storage import Fault, Line, Storage

NOW = datetime(2026, 11, 23, 8, 5, 3, 250_001, tzinfo=UTC)
LEASE = timedelta(minutes=3)
SECOND = timedelta(seconds=1)

FULL = GroupRecord(
    state=GroupState.ALERTED,
    since=NOW,
    alert=OpenAlert("7d1c", AlertType.NO_ASSIGNED_USERS, NOW + SECOND),
    told=AlertType.MEMBERSHIP_UNKNOWN,
    told_at=NOW + 2 * SECOND,
    acknowledged=AlertType.NO_ASSIGNED_USERS,
    available=0,
)

OpenStore = Callable[[], GroupStore]


@pytest.fixture(params=["twin", "azurite"])
def open_store(request: pytest.FixtureRequest) -> OpenStore:
    """Opens the store as another process does: what one has written, the others see."""
    if request.param == "twin":
        twin = InMemoryGroupStore()
        return lambda: twin
    storage: Storage = request.getfixturevalue("storage")
    name = storage.new_name()
    return lambda: TableGroupStore(storage.account, name)


@pytest.fixture
def store(open_store: OpenStore) -> GroupStore:
    return open_store()


@pytest.fixture
def table(storage: Storage, line: Line) -> TableGroupStore:
    """The real thing, on a line that a test can break."""
    store = TableGroupStore(storage.account, storage.new_name())
    store.load()  # so that the table is there
    return store


# Records


def test_before_the_first_check_nothing_is_remembered(store: GroupStore) -> None:
    assert store.load() == {}


def test_a_record_comes_back_as_it_was_saved(open_store: OpenStore) -> None:
    """That every field does is shown in tests/unit/groups/test_group_record.py."""
    open_store().save("800", FULL)
    assert open_store().load() == {"800": FULL}


def test_a_record_replaces_the_one_before_and_leaves_nothing_of_it(store: GroupStore) -> None:
    store.save("800", FULL)
    store.save("801", FULL)
    store.save("800", GroupRecord())
    assert store.load() == {"800": GroupRecord(), "801": FULL}


def test_a_record_that_is_removed_is_gone_and_removing_it_again_is_no_error(store: GroupStore) -> None:
    store.save("800", FULL)
    store.save("801", FULL)
    store.remove("800")
    store.remove("800")
    assert store.load() == {"801": FULL}


def test_a_group_may_have_any_name(store: GroupStore) -> None:
    names = ["0800", "sales/support", "a#b?c%d", "Verkauf 漢字", "o'brien", "back\\slash", "!21", "x" * 100, "lease"]
    for name in names:
        store.save(name, FULL)
    assert set(store.load()) == set(names)
    store.remove("o'brien")
    store.remove("sales/support")
    assert set(store.load()) == set(names) - {"o'brien", "sales/support"}


# The lease


def test_while_one_checks_no_other_does(open_store: OpenStore) -> None:
    open_store().lease("first", NOW, LEASE)
    with pytest.raises(LeaseHeld, match="until 08:08:03 UTC"):
        open_store().lease("second", NOW + LEASE - SECOND, LEASE)


def test_a_lease_that_ran_out_goes_to_the_next(open_store: OpenStore) -> None:
    open_store().lease("first", NOW, LEASE)
    open_store().lease("second", NOW + LEASE, LEASE)
    with pytest.raises(LeaseHeld):
        open_store().lease("third", NOW + LEASE, LEASE)


def test_a_lease_by_a_clock_that_was_a_year_ahead_keeps_nobody_out(open_store: OpenStore) -> None:
    open_store().lease("first", NOW + timedelta(days=365), LEASE)
    open_store().lease("second", NOW, LEASE)


def test_whoever_has_the_lease_may_renew_it(open_store: OpenStore) -> None:
    store = open_store()
    store.lease("first", NOW, LEASE)
    store.lease("first", NOW + LEASE - SECOND, LEASE)
    with pytest.raises(LeaseHeld):
        open_store().lease("second", NOW + LEASE, LEASE)
    open_store().lease("second", NOW + 2 * LEASE, LEASE)


def test_a_lease_given_back_lets_the_next_in_at_once(open_store: OpenStore) -> None:
    for owner in ("first", "second", "third"):
        store = open_store()
        store.lease(owner, NOW, LEASE)
        store.release(owner)


def test_whoever_was_overtaken_does_not_give_the_others_lease_back(open_store: OpenStore) -> None:
    open_store().lease("first", NOW, LEASE)
    open_store().lease("second", NOW + LEASE, LEASE)
    open_store().release("first")
    with pytest.raises(LeaseHeld):
        open_store().lease("third", NOW + LEASE, LEASE)


def test_giving_back_what_nobody_has_is_no_error(store: GroupStore) -> None:
    store.release("first")
    store.lease("first", NOW, LEASE)


def test_the_lease_is_no_group(store: GroupStore) -> None:
    store.lease("first", NOW, LEASE)
    assert store.load() == {}


def test_of_many_that_ask_at_the_same_moment_one_gets_the_lease(open_store: OpenStore) -> None:
    stores = [open_store() for _ in range(4)]
    for store in stores:
        store.load()
    now = NOW
    with ThreadPoolExecutor(len(stores)) as pool:
        for _ in range(5):
            start = threading.Barrier(len(stores))

            def ask(owner: int, start: threading.Barrier = start, now: datetime = now) -> bool:
                start.wait(10)
                try:
                    stores[owner].lease(f"owner {owner}", now, LEASE)
                except LeaseHeld:
                    return False
                return True

            assert sum(pool.map(ask, range(len(stores)))) == 1
            now += LEASE


# The real thing alone


@pytest.mark.parametrize("fault", ["answer lost", "answered 503", "not sent"])
def test_a_write_whose_answer_was_lost_is_ones_own(table: TableGroupStore, line: Line, fault: Fault) -> None:
    line.fail_next("POST", fault)
    table.lease("first", NOW, LEASE)
    assert line.is_sound
    line.fail_next("PATCH", fault)
    table.release("first")
    assert line.is_sound
    line.fail_next("PATCH", fault)
    table.lease("second", NOW, LEASE)
    assert line.is_sound
    line.fail_next("PATCH", fault)
    table.save("800", FULL)
    assert line.is_sound
    assert table.load() == {"800": FULL}
    line.fail_next("DELETE", fault)
    table.remove("800")
    assert line.is_sound
    assert table.load() == {}
    with pytest.raises(LeaseHeld):
        table.lease("third", NOW, LEASE)


def test_a_lost_answer_does_not_hide_that_another_check_was_first(line: Line, table: TableGroupStore) -> None:
    table.lease("first", NOW, LEASE)
    table.release("first")
    line.interrupt_next("PATCH", lambda: table.lease("second", NOW, LEASE))
    with pytest.raises(LeaseHeld, match="same moment"):
        table.lease("third", NOW, LEASE)
    assert line.is_sound


def test_a_damaged_lease_is_nobodys_and_a_damaged_record_is_read_as_far_as_it_goes(storage: Storage) -> None:
    name = storage.new_name()
    store = TableGroupStore(storage.account, name)
    store.save("800", FULL)
    plain = storage.plain_table(name)
    plain.upsert_entity({"PartitionKey": "lease", "RowKey": "check", "leased_until": "for ever"})
    plain.upsert_entity({"PartitionKey": "group", "RowKey": "801", "record": '{"state": "ok", "new": 1}'})
    plain.upsert_entity({"PartitionKey": "group", "RowKey": "802"})
    store.release("first")
    store.lease("first", NOW, LEASE)
    assert store.load() == {"800": FULL, "801": GroupRecord(GroupState.OK), "802": GroupRecord()}


@pytest.mark.usefixtures("no_second_try")
def test_storage_that_is_out_of_reach_is_unavailable_whatever_is_asked(storage: Storage, line: Line) -> None:
    store = TableGroupStore(storage.account, storage.new_name())
    store.save("800", FULL)
    store.lease("first", NOW, LEASE)
    for method, use in (
        ("GET", store.load),
        ("PATCH", lambda: store.save("800", FULL)),
        ("DELETE", lambda: store.remove("800")),
        ("GET", lambda: store.lease("second", NOW + LEASE, LEASE)),
        ("GET", lambda: store.release("first")),
    ):
        line.fail_next(method, "not sent")
        with pytest.raises(StorageUnavailable, match=r"table t\w+"):
            use()
        assert line.is_sound
    assert store.load() == {"800": FULL}


@pytest.mark.usefixtures("no_second_try")
def test_a_table_that_could_not_be_created_is_created_at_the_next_use(storage: Storage, line: Line) -> None:
    store = TableGroupStore(storage.account, storage.new_name())
    line.fail_next("POST", "not sent")
    with pytest.raises(StorageUnavailable):
        store.load()
    assert store.load() == {}
