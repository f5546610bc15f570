"""What every CheckpointStore does: the twin, and a table in Azurite."""

from __future__ import annotations

import threading
from bisect import bisect
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest

from cdr.edges.storage.positions import TableCheckpointStore
from cdr.intake.id_order import Checkpoint, Gap
from cdr.intake.ports import CheckpointLease, CheckpointStore, PollReport
from shared.errors import CheckpointFull, LeaseHeld, LeaseLost
from tests.fakes.positions import InMemoryCheckpointStore
from tests.systems.storage import Fault, Line, Storage

NOW = datetime(2026, 11, 20, 9, 0, 0, 123000, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
REPORT = PollReport(NOW, "finished", queued=3, duration_ms=250)

OpenStore = Callable[[], CheckpointStore]


@pytest.fixture(params=["twin", "azurite"])
def open_store(request: pytest.FixtureRequest) -> OpenStore:
    """Opens the store as another process does: what one has written, the others see."""
    if request.param == "twin":
        twin = InMemoryCheckpointStore()
        return lambda: twin
    storage: Storage = request.getfixturevalue("storage")
    name = storage.new_name()
    return lambda: TableCheckpointStore(storage.account, name)


@pytest.fixture
def store(open_store: OpenStore) -> CheckpointStore:
    return open_store()


@pytest.fixture
def table(storage: Storage, line: Line) -> TableCheckpointStore:
    """The real thing, on a line that a test can break."""
    store = TableCheckpointStore(storage.account, storage.new_name())
    store.read()  # so that the table is there
    return store


def large_checkpoint(open_rows: int, gaps: int) -> Checkpoint:
    since = {5 * number: NOW - timedelta(milliseconds=number) for number in range(1, open_rows + 1)}
    missing = tuple(Gap(10**7 + 9 * n, 10**7 + 9 * n + n % 4, NOW - n * MINUTE) for n in range(gaps))
    return Checkpoint(2 * 10**7, since, missing)


# The very first poll


def test_before_the_first_poll_nothing_is_stored(store: CheckpointStore) -> None:
    assert store.read() == (None, None)


def test_the_first_lease_has_no_checkpoint(store: CheckpointStore) -> None:
    lease = store.lease("first", NOW, MINUTE)
    assert lease.checkpoint is None
    assert store.read() == (None, None)


def test_a_poll_that_never_saved_leaves_no_checkpoint_to_the_next(store: CheckpointStore) -> None:
    store.release(store.lease("first", NOW, MINUTE), PollReport(NOW, "failed", error="SourceUnavailable: down"))
    assert store.lease("second", NOW, MINUTE).checkpoint is None


# The lease


def test_while_one_has_the_lease_no_other_gets_it(open_store: OpenStore) -> None:
    open_store().lease("first", NOW, MINUTE)
    with pytest.raises(LeaseHeld, match=r"until 09:01:00 UTC"):
        open_store().lease("second", NOW + MINUTE - timedelta(seconds=1), MINUTE)


def test_a_lease_that_ran_out_goes_to_the_next_with_what_was_saved(open_store: OpenStore) -> None:
    first = open_store()
    first.save(first.lease("first", NOW, MINUTE), Checkpoint(7), NOW, MINUTE)
    taken = open_store().lease("second", NOW + MINUTE, MINUTE)
    assert taken.owner == "second"
    assert taken.checkpoint == Checkpoint(7)


def test_saving_renews_the_lease(open_store: OpenStore) -> None:
    first = open_store()
    lease = first.lease("first", NOW, MINUTE)
    first.save(lease, Checkpoint(7), NOW + MINUTE / 2, MINUTE)
    with pytest.raises(LeaseHeld):
        open_store().lease("second", NOW + MINUTE, MINUTE)
    open_store().lease("second", NOW + MINUTE * 1.5, MINUTE)


def test_a_lease_that_ran_out_while_nobody_came_can_still_save(store: CheckpointStore) -> None:
    lease = store.lease("first", NOW, MINUTE)
    store.save(lease, Checkpoint(7), NOW + 10 * MINUTE, MINUTE)
    assert store.read()[0] == Checkpoint(7)


def test_who_was_overtaken_saves_nothing(open_store: OpenStore) -> None:
    first, second = open_store(), open_store()
    lost = first.save(first.lease("first", NOW, MINUTE), Checkpoint(7), NOW, MINUTE)
    taken = second.lease("second", NOW + MINUTE, MINUTE)
    with pytest.raises(LeaseLost):
        first.save(lost, Checkpoint(8), NOW + MINUTE, MINUTE)
    assert open_store().read()[0] == Checkpoint(7)
    second.save(taken, Checkpoint(9), NOW + MINUTE, MINUTE)
    assert open_store().read()[0] == Checkpoint(9)


def test_an_older_version_of_ones_own_lease_saves_nothing(store: CheckpointStore) -> None:
    old = store.lease("first", NOW, MINUTE)
    store.save(old, Checkpoint(7), NOW, MINUTE)
    with pytest.raises(LeaseLost):
        store.save(old, Checkpoint(5), NOW, MINUTE)
    assert store.read()[0] == Checkpoint(7)


def test_what_is_saved_one_after_the_other_replaces_what_was_there(store: CheckpointStore) -> None:
    lease = store.lease("first", NOW, MINUTE)
    for position in (7, 8, 9):
        lease = store.save(lease, Checkpoint(position), NOW, MINUTE)
        assert lease.checkpoint == Checkpoint(position)
    assert store.read()[0] == Checkpoint(9)


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


def test_a_lease_given_back_lets_the_next_in_at_once(open_store: OpenStore) -> None:
    first = open_store()
    lease = first.save(first.lease("first", NOW, MINUTE), Checkpoint(7), NOW, MINUTE)
    first.release(lease, REPORT)
    assert open_store().lease("second", NOW, MINUTE).checkpoint == Checkpoint(7)


@pytest.mark.parametrize(
    "report",
    [REPORT, PollReport(NOW, "failed", error='SourceUnavailable: the "database" 漢字\nis down ' + "x" * 1_000)],
    ids=["finished", "failed"],
)
def test_the_report_can_be_read_afterwards_beside_the_checkpoint(open_store: OpenStore, report: PollReport) -> None:
    store = open_store()
    store.release(store.save(store.lease("first", NOW, MINUTE), Checkpoint(7), NOW, MINUTE), report)
    assert open_store().read() == (Checkpoint(7), report)
    open_store().lease("second", NOW, MINUTE)
    assert open_store().read() == (Checkpoint(7), report)


def test_giving_back_a_lost_lease_is_no_error_and_changes_nothing(open_store: OpenStore) -> None:
    first, second = open_store(), open_store()
    lost = first.lease("first", NOW, MINUTE)
    second.lease("second", NOW + MINUTE, MINUTE)
    first.release(lost, REPORT)
    assert open_store().read() == (None, None)
    with pytest.raises(LeaseHeld):
        open_store().lease("third", NOW + MINUTE, MINUTE)


# What fits


@pytest.mark.parametrize(
    "checkpoint",
    [
        Checkpoint(),
        Checkpoint(0),
        Checkpoint(-5, {-9: NOW, 3: NOW}),
        Checkpoint(2**63 - 1, {2**62: NOW}, (Gap(1, 2**62 - 1, NOW),)),
        Checkpoint(9, {7: NOW}, (Gap(5, 6, NOW), Gap(1, 1, NOW - MINUTE))),
        large_checkpoint(5_000, 1_000),
    ],
    ids=["from the beginning", "zero", "negative", "large ids", "gaps out of order", "5,000 open rows and 1,000 gaps"],
)
def test_a_checkpoint_comes_back_as_it_was_saved(open_store: OpenStore, checkpoint: Checkpoint) -> None:
    store = open_store()
    store.check_size(checkpoint)
    store.save(store.lease("first", NOW, MINUTE), checkpoint, NOW, MINUTE)
    assert open_store().read()[0] == checkpoint
    assert open_store().lease("second", NOW + MINUTE, MINUTE).checkpoint == checkpoint


def test_a_smaller_checkpoint_leaves_nothing_of_a_larger_one(open_store: OpenStore) -> None:
    store = open_store()
    lease = store.save(store.lease("first", NOW, MINUTE), large_checkpoint(5_000, 1_000), NOW, MINUTE)
    store.save(lease, Checkpoint(7, {3: NOW}), NOW, MINUTE)
    assert open_store().read()[0] == Checkpoint(7, {3: NOW})


def test_a_checkpoint_that_does_not_fit_is_refused_in_time(store: CheckpointStore) -> None:
    with pytest.raises(CheckpointFull):
        store.check_size(large_checkpoint(open_rows=40_000, gaps=0))
    with pytest.raises(CheckpointFull):
        store.check_size(large_checkpoint(open_rows=0, gaps=40_000))


# The real thing alone


def test_a_checkpoint_just_within_the_limit_really_fits(table: TableCheckpointStore) -> None:
    def fits(open_rows: int) -> bool:
        try:
            table.check_size(large_checkpoint(open_rows, 0))
        except CheckpointFull:
            return False
        return True

    counts = range(20_000, 40_000, 500)
    most = counts[bisect(counts, False, key=lambda count: not fits(count)) - 1]
    checkpoint = large_checkpoint(most, 0)
    table.save(table.lease("first", NOW, MINUTE), checkpoint, NOW, MINUTE)
    assert table.read()[0] == checkpoint
    # Azurite takes more, but in Azure an entity ends at 1 MiB, and a report of some length must still find room.
    (entity,) = table._table.list_entities()
    assert sum(2 * len(text) for text in entity.values() if isinstance(text, str)) < 2**20 - 2**17
    with pytest.raises(CheckpointFull, match=f"{most + 500} rows without an end"):
        table.check_size(large_checkpoint(most + 500, 0))


@pytest.mark.parametrize("fault", ["answer lost", "answered 503", "not sent"])
def test_a_write_that_was_carried_out_although_its_answer_was_lost_is_ones_own(
    table: TableCheckpointStore, line: Line, fault: Fault
) -> None:
    line.fail_next("POST", fault)
    lease = table.lease("first", NOW, MINUTE)
    assert line.is_sound
    line.fail_next("PATCH", fault)
    lease = table.save(lease, Checkpoint(7), NOW, MINUTE)
    assert line.is_sound
    lease = table.save(lease, Checkpoint(8), NOW, MINUTE)
    line.fail_next("PATCH", fault)
    table.release(lease, REPORT)
    assert line.is_sound
    line.fail_next("PATCH", fault)
    assert table.lease("second", NOW, MINUTE).checkpoint == Checkpoint(8)
    assert line.is_sound
    assert table.read() == (Checkpoint(8), REPORT)


def test_a_lost_answer_does_not_hide_that_another_poll_took_over(table: TableCheckpointStore, line: Line) -> None:
    lost = table.lease("first", NOW, MINUTE)
    taken = table.lease("second", NOW + MINUTE, MINUTE)
    line.fail_next("PATCH", "answer lost")
    with pytest.raises(LeaseLost):
        table.save(lost, Checkpoint(7), NOW + MINUTE, MINUTE)
    table.save(taken, Checkpoint(9), NOW + MINUTE, MINUTE)


def test_the_version_after_a_lost_answer_is_good_for_the_next_write(table: TableCheckpointStore, line: Line) -> None:
    line.fail_next("POST", "answer lost")
    lease: CheckpointLease = table.lease("first", NOW, MINUTE)
    for position in range(3):
        line.fail_next("PATCH", "answer lost")
        lease = table.save(lease, Checkpoint(position), NOW, MINUTE)
    assert table.read()[0] == Checkpoint(2)
