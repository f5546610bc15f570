"""How far along the pipeline is, and whether its parts are usable."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from threading import Barrier, Event
from typing import Any

import pytest

from cdr.calls.call import CallKey, Settlement, State
from cdr.intake.id_order import Checkpoint, Gap
from cdr.intake.ports import PollReport
from cdr.operations.status import HealthCheck, PartHealth, progress
from shared.clock import HandMovedClock
from shared.errors import (
    ApiDenied,
    ApiUnavailable,
    InvalidConfig,
    PipelineError,
    SourceMisconfigured,
    SourceUnavailable,
    StorageUnavailable,
)
from tests.fakes.call_queue import InMemoryCallQueue
from tests.fakes.ledger import InMemoryLedger
from tests.fakes.positions import InMemoryCheckpointStore
from tests.fakes.row_table import InMemoryCdrSource
from tests.support.factories import make_raw_row

NOON = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
SECOND = timedelta(seconds=1)

pytestmark = pytest.mark.usefixtures("events")


class Parts:
    """Everything that progress is read from."""

    def __init__(self, clock: HandMovedClock) -> None:
        self.clock = clock
        self.source = InMemoryCdrSource()
        self.checkpoints = InMemoryCheckpointStore()
        self.queue = InMemoryCallQueue(clock)
        self.poison_queue = InMemoryCallQueue(clock)
        self.ledger = InMemoryLedger()

    def progress(self, timezone: str = "UTC") -> dict[str, Any]:
        return progress(**vars(self), timezone=timezone)


@pytest.fixture
def parts(clock: HandMovedClock) -> Parts:
    return Parts(clock)


# Progress


def test_before_the_first_poll_there_is_no_progress_and_no_error(parts: Parts) -> None:
    assert parts.progress() == {
        "last_processed_cdr_id": None,
        "open_rows": 0,
        "missing_ids": 0,
        "last_poll": None,
        "lag": {"newest_cdr_id": None, "ids_behind": 0, "seconds_behind": 0},
        "queue": {"waiting": 0, "poison": 0},
        "ledger": {"complete": True},
    }


def test_it_shows_the_last_processed_id_and_what_is_behind_it(parts: Parts) -> None:
    parts.checkpoints.checkpoint = Checkpoint(20, {3: NOON, 9: NOON}, (Gap(5, 8, NOON), Gap(11, 11, NOON)))
    progress = parts.progress()
    assert (progress["last_processed_cdr_id"], progress["open_rows"], progress["missing_ids"]) == (20, 2, 5)


def test_it_shows_when_and_how_the_last_poll_went(parts: Parts) -> None:
    parts.checkpoints.report = PollReport(NOON, "failed", 3, 250, "SourceUnavailable: the server does not answer")
    assert parts.progress()["last_poll"] == {
        "at": "2026-11-22T12:00:00+00:00",
        "result": "failed",
        "queued": 3,
        "duration_ms": 250,
        "error": "SourceUnavailable: the server does not answer",
    }


def test_the_lag_is_in_ids_and_in_seconds_since_the_first_waiting_call_ended(parts: Parts) -> None:
    parts.checkpoints.checkpoint = Checkpoint(7)
    parts.source.put(
        *(make_raw_row(id=row_id, ended_at=datetime(2026, 11, 22, 11, row_id, tzinfo=UTC)) for row_id in (7, 10, 12))
    )
    assert parts.progress()["lag"] == {"newest_cdr_id": 12, "ids_behind": 5, "seconds_behind": 50 * 60}


def test_a_waiting_call_that_ended_in_the_databases_own_time_zone_is_understood(parts: Parts) -> None:
    parts.checkpoints.checkpoint = Checkpoint(0)
    parts.source.put(make_raw_row(id=1, started_at=None, ended_at="2026-11-22 12:59:00"))
    assert parts.progress("Europe/Berlin")["lag"]["seconds_behind"] == 60


def test_without_a_row_beyond_the_checkpoint_there_is_no_lag(parts: Parts) -> None:
    parts.checkpoints.checkpoint = Checkpoint(12)
    parts.source.put(make_raw_row(id=12))
    assert parts.progress()["lag"] == {"newest_cdr_id": 12, "ids_behind": 0, "seconds_behind": 0}


@pytest.mark.parametrize("ended_at", [None, "never", datetime(2026, 11, 22, 12, 30, tzinfo=UTC)])
def test_a_waiting_row_whose_end_says_nothing_counts_no_seconds(parts: Parts, ended_at: Any) -> None:
    parts.checkpoints.checkpoint = Checkpoint(1)
    parts.source.put(make_raw_row(id=2, ended_at=ended_at))
    assert parts.progress()["lag"] == {"newest_cdr_id": 2, "ids_behind": 1, "seconds_behind": 0}


def test_it_shows_queue_and_poison_depth_and_counts_by_state(parts: Parts) -> None:
    parts.queue.send_all(["a", "b"])
    parts.queue.send_later("c", timedelta(minutes=5))
    parts.poison_queue.send_all(["d"])
    for n, state in enumerate([State.REJECTED, State.SKIPPED, State.SKIPPED]):
        parts.ledger.keep(CallKey("2026-11-22", f"call-{n}"), n, "", Settlement(state, "because"), NOON)
    progress = parts.progress()
    assert progress["queue"] == {"waiting": 3, "poison": 1}
    assert progress["ledger"] == {"rejected": 1, "skipped": 2, "complete": True}


@pytest.mark.parametrize(
    ("part", "error", "places"),
    [
        ("checkpoints", StorageUnavailable("table CdrState: 503"), {"last_processed_cdr_id", "last_poll", "lag"}),
        ("source", SourceUnavailable("the server does not answer"), {"lag"}),
        ("source", SourceMisconfigured("3cx.cdr_database.password: refused"), {"lag"}),
        ("queue", StorageUnavailable("queue cdr-calls: 503"), {"queue"}),
        ("poison_queue", StorageUnavailable("queue cdr-calls-poison: 503"), {"queue"}),
        ("ledger", StorageUnavailable("table CdrCalls: 503"), {"ledger"}),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_a_part_that_cannot_be_read_is_an_error_in_its_place_and_only_there(
    parts: Parts, part: str, error: PipelineError, places: set[str]
) -> None:
    whole = parts.progress()
    getattr(parts, part).fail_at(1, error)
    answer = parts.progress()
    assert {name for name, value in answer.items() if value == {"error": f"{type(error).__name__}: {error}"}} == places
    assert {name: answer[name] for name in answer.keys() - places} == {
        name: whole[name] for name in answer.keys() - places
    }


# Health


@dataclass
class Part:
    """Something to check: takes its time, fails with its error, and counts."""

    clock: HandMovedClock
    error: Exception | None = None
    takes: timedelta = timedelta()
    checked: int = 0

    def __call__(self) -> None:
        self.checked += 1
        self.clock.move(self.takes)
        if self.error:
            raise self.error


@pytest.mark.parametrize(
    ("error", "state"),
    [
        (None, "ok"),
        (SourceUnavailable("pbx.example.internal does not answer"), "unavailable"),
        (StorageUnavailable("503"), "unavailable"),
        (ApiUnavailable("503"), "unavailable"),
        (ApiDenied("api.auth: 401"), "misconfigured"),
        (SourceMisconfigured("3cx.cdr_database.password: refused"), "misconfigured"),
        (InvalidConfig(["api.base_url: missing"]), "misconfigured"),
    ],
)
def test_each_part_has_its_state_and_how_long_it_took_and_nothing_else(
    clock: HandMovedClock, error: Exception | None, state: str
) -> None:
    health = HealthCheck({"database": Part(clock, error, takes=timedelta(milliseconds=250))}, clock)
    assert asdict(health.parts()["database"]) == {"state": state, "duration_ms": 250}


def test_a_part_that_fails_leaves_the_others_their_own_state(clock: HandMovedClock) -> None:
    health = HealthCheck({"database": Part(clock, SourceUnavailable("down")), "storage": Part(clock)}, clock)
    assert health.parts() == {"database": PartHealth("unavailable", 0), "storage": PartHealth("ok", 0)}


@pytest.mark.parametrize("error", [None, SourceUnavailable("down")], ids=["ok", "unavailable"])
def test_the_answer_is_remembered_for_ten_seconds(clock: HandMovedClock, error: Exception | None) -> None:
    database = Part(clock, error)
    health = HealthCheck({"database": database}, clock)
    for _ in range(10):
        health.parts()
        clock.move(SECOND)
    assert database.checked == 1
    health.parts()
    assert database.checked == 2


def test_the_ten_seconds_begin_when_the_checks_have_ended(clock: HandMovedClock) -> None:
    database = Part(clock, takes=30 * SECOND)
    health = HealthCheck({"database": database}, clock)
    health.parts()
    clock.move(9 * SECOND)
    health.parts()
    assert database.checked == 1


def test_a_recovered_part_is_seen_after_that(clock: HandMovedClock) -> None:
    database = Part(clock, SourceUnavailable("down"))
    health = HealthCheck({"database": database}, clock)
    health.parts()
    database.error = None
    clock.move(10 * SECOND)
    assert health.parts()["database"].state == "ok"


def test_the_parts_are_checked_at_once(clock: HandMovedClock) -> None:
    together = Barrier(3)
    health = HealthCheck({name: _waiting_for(together) for name in ("database", "storage", "api")}, clock)
    assert {part.state for part in health.parts().values()} == {"ok"}


def _waiting_for(others: Barrier) -> Callable[[], None]:
    def check() -> None:
        others.wait(timeout=10)

    return check


def test_a_part_that_hangs_is_unavailable_and_holds_nobody_up(
    clock: HandMovedClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cdr.operations.status.LONGEST_LOOK_S", 0.05)
    released = Event()
    health = HealthCheck({"database": lambda: hang(released), "storage": Part(clock)}, clock)
    assert {name: part.state for name, part in health.parts().items()} == {"database": "unavailable", "storage": "ok"}
    released.set()


def hang(released: Event) -> None:
    released.wait(timeout=60)


def test_many_who_ask_at_once_share_one_check(clock: HandMovedClock) -> None:
    callers = 8
    arrived, checked = Barrier(callers + 1), []
    may_end = Event()

    def check() -> None:
        checked.append(1)
        may_end.wait(timeout=10)

    health = HealthCheck({"database": check}, clock)

    def ask() -> Any:
        arrived.wait(timeout=10)
        return health.parts()

    with ThreadPoolExecutor(callers) as pool:
        answers = [pool.submit(ask) for _ in range(callers)]
        arrived.wait(timeout=10)
        may_end.set()
        assert [answer.result(timeout=10) for answer in answers] == [{"database": PartHealth("ok", 0)}] * callers
    assert len(checked) == 1
