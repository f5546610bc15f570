"""Transactions that begin and commit in any order, roll back and jump over ids: a poll loses none of their rows."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import hypothesis
import pytest
from hypothesis import strategies as st

import cdr.intake.poll
from cdr.calls.message import decode_row
from cdr.intake.poll import PollPlan, poll
from shared.clock import HandMovedClock
from shared.errors import PipelineError, SourceUnavailable, StorageUnavailable
from tests.fakes.call_queue import InMemoryCallQueue
from tests.fakes.positions import InMemoryCheckpointStore
from tests.fakes.row_table import InMemoryCdrSource
from tests.support.factories import make_raw_row

ROWS_IN_ALL = 10_000
LONGEST_TRANSACTION = timedelta(minutes=15)
PLAN = PollPlan(timedelta(seconds=24), timedelta(seconds=60), gap_wait=LONGEST_TRANSACTION)

begin = st.tuples(st.just("begin"), st.integers(1, 80), st.booleans())
insert = st.tuples(st.just("insert"), st.integers(0, 5), st.integers(1, 6))
commit = st.tuples(st.just("commit"), st.integers(0, 5), st.just(0))
roll_back = st.tuples(st.just("roll_back"), st.integers(0, 5), st.just(0))
jump = st.tuples(st.just("jump"), st.sampled_from([1, 3, 1_000, 10_000]), st.just(0))
end_calls = st.tuples(st.just("end_calls"), st.integers(1, 9), st.just(0))
wait = st.tuples(st.just("wait"), st.integers(1, 400), st.just(0))
look = st.tuples(st.just("look"), st.just(0), st.just(0))
fail = st.tuples(st.just("fail"), st.integers(1, 9), st.booleans())
STEPS = st.lists(
    st.one_of(begin, begin, insert, insert, commit, commit, roll_back, jump, end_calls, wait, look, look, fail),
    min_size=40,
    max_size=160,
)


@dataclass
class Transaction:
    began_at: datetime
    rows: dict[int, bool] = field(default_factory=dict)


class Database:
    """Ids are given at insert; rows become visible at commit."""

    def __init__(self, clock: HandMovedClock) -> None:
        self.clock = clock
        self.source = InMemoryCdrSource()
        self.running: list[Transaction] = []
        self.next_id = 1

    def insert(self, transaction: Transaction, rows: int, *, ended: bool) -> None:
        for _ in range(rows):
            transaction.rows[self.next_id] = ended
            self.next_id += 1

    def commit(self, transaction: Transaction) -> None:
        self.running.remove(transaction)
        self.source.put(*(_row(row_id, ended=ended) for row_id, ended in transaction.rows.items()))

    def wait(self, span: timedelta) -> None:
        """No transaction lasts longer than the longest one may."""
        for transaction in list(self.running):
            if self.clock.now() + span - transaction.began_at >= LONGEST_TRANSACTION:
                self.commit(transaction)
        self.clock.move(span)

    def end_calls(self, every: int) -> None:
        still_open = [row_id for row_id, row in self.source.rows.items() if row["ended_at"] is None]
        self.source.put(*(_row(row_id, ended=True) for row_id in still_open[::every]))


def _row(row_id: int, *, ended: bool) -> dict[str, Any]:
    return make_raw_row(id=row_id, call_id=f"c-{row_id}", **({} if ended else {"ended_at": None}))


class Experiment:
    def __init__(self) -> None:
        self.clock = HandMovedClock(datetime(2026, 11, 22, 12, 0, tzinfo=UTC))
        self.database = Database(self.clock)
        self.queue = InMemoryCallQueue(self.clock)
        self.checkpoints = InMemoryCheckpointStore()
        self.failed = False

    def poll(self) -> bool:
        """Whether it came to its end."""
        try:
            outcome = poll(
                source=self.database.source, queue=self.queue, checkpoints=self.checkpoints, clock=self.clock, plan=PLAN
            )
        except PipelineError:
            return False
        return outcome.result == "finished"

    def take(self, step: str, number: int, other: Any) -> None:
        database = self.database
        chosen = database.running[number % len(database.running)] if database.running else None
        match step:
            case "begin":
                database.running.append(Transaction(self.clock.now()))
                database.insert(database.running[-1], number, ended=other)
            case "insert" if chosen:
                database.insert(chosen, other, ended=True)
            case "commit" if chosen:
                database.commit(chosen)
            case "roll_back" if chosen:
                database.running.remove(chosen)
            case "jump":
                database.next_id += number
            case "end_calls":
                database.end_calls(number)
            case "wait":
                database.wait(timedelta(seconds=number))
            case "look":
                self.poll()
            case "fail":
                self._fail(number, answer_lost=other)

    def _fail(self, number: int, *, answer_lost: bool) -> None:
        self.failed = True
        storage = StorageUnavailable("told to")
        twin, error = [
            (self.database.source, SourceUnavailable("told to")),
            (self.queue, storage),
            (self.checkpoints, storage),
        ][number % 3]
        twin.fail_at(1 + number // 3, error, answer_lost=answer_lost)

    def finish(self) -> None:
        for transaction in list(self.database.running):
            self.database.commit(transaction)
        for _ in range(10):  # at most so many failures are still due
            if self.poll() and self.poll():
                return
            self.clock.move(PLAN.lease)
        raise AssertionError("the poll does not come to its end")


@pytest.fixture
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cdr.intake.poll, "PAGE_SIZE", 7)


def test_no_row_is_lost_whatever_the_order_of_begin_and_commit(small_pages: None) -> None:
    """Over ten thousand rows in all; each ended one is queued, and just once where nothing failed."""
    tried = 0

    @hypothesis.settings(max_examples=100, suppress_health_check=list(hypothesis.HealthCheck))
    @hypothesis.given(STEPS)
    def check(steps: list[tuple[str, int, Any]]) -> None:
        nonlocal tried
        experiment = Experiment()
        for step in steps:
            experiment.take(*step)
        experiment.finish()
        rows = experiment.database.source.rows
        tried += len(rows)
        ended = {row_id for row_id, row in rows.items() if row["ended_at"] is not None}
        queued = Counter(decode_row(text).id for text in experiment.queue.texts)
        assert queued.keys() == ended
        assert experiment.failed or set(queued.values()) <= {1}
        checkpoint = experiment.checkpoints.checkpoint
        assert checkpoint is not None
        assert checkpoint.position == max(rows, default=None)
        assert checkpoint.open_rows.keys() == rows.keys() - ended

    check()
    assert tried >= ROWS_IN_ALL
