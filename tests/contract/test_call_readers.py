"""What every CallReader promises: each call that is over comes at least once, and none comes that is not.

Whatever happens meanwhile: calls are written, committed in another order, rolled back, and over much later; pages are
small; who reads stops early, or fails at any operation; time passes.
"""

from __future__ import annotations

from collections import Counter
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from itertools import chain, islice, takewhile
from pathlib import Path

import hypothesis
import pytest
from hypothesis import strategies as st

from cdr.calls.call import CallRecord
from cdr.calls.message import letter_of
from cdr.intake.poll import poll
from cdr.intake.ports import Position
from shared.errors import PipelineError, SourceUnavailable, StorageUnavailable
from tests.fakes.call_queue import InMemoryCallQueue
from tests.fakes.clock import HandMovedClock
from tests.fakes.positions import InMemoryPositionStore
from tests.support.pollers import make_poller
from tests.systems.exchanges import EXCHANGES, LONGEST_COMMIT, Exchange, MakeExchange

Step = tuple[str, int, bool]
LEASE = timedelta(seconds=60)


NO = st.just(value=False)


def _step(name: str, numbers: st.SearchStrategy[int], flags: st.SearchStrategy[bool] = NO) -> st.SearchStrategy[Step]:
    return st.tuples(st.just(name), numbers, flags)


ANY = st.integers(0, 30)
HISTORIES = st.lists(
    st.one_of(
        _step("write", st.integers(1, 9), st.booleans()),
        _step("commit", ANY),
        _step("commit", ANY),
        _step("roll back", ANY),
        _step("end", ANY),
        _step("skip", st.sampled_from([1, 1_000, 10**6])),
        _step("wait", st.integers(1, 400)),
        _step("look", st.sampled_from([1, 2, 1_000])),
        _step("look", st.sampled_from([1, 2, 1_000])),
        _step("fail", st.integers(0, 9), st.booleans()),
    ),
    min_size=20,
    max_size=120,
)


class ByHand:
    """Takes some batches, and goes on from the last one that it took."""

    def __init__(self, exchange: Exchange) -> None:
        self.exchange = exchange
        self.records: list[CallRecord] = []
        self.repeats = not exchange.tells_once
        self.position: Position | None = None

    def look(self, most: int) -> bool:
        with self.exchange.source.connect() as reader:
            if self.position is None:
                self.position = reader.begin("beginning")
            for batch in islice(reader.batches(self.position), most):
                assert len(batch.records) <= batch.read
                self.records += batch.records
                self.position = batch.position
            bearings = reader.bearings(self.position)
            assert (bearings.is_beyond, bearings.is_another) == (False, False)
        return True

    def fail(self, n: int, *, answer_lost: bool) -> None:
        self.exchange.faults.fail_at(1 + n, SourceUnavailable("told to"), answer_lost=answer_lost)

    @property
    def will_fail(self) -> bool:
        return self.exchange.faults.will_fail


class ByPoll:
    """Polls, with a queue and a place for the position that fail as well."""

    def __init__(self, exchange: Exchange, clock: HandMovedClock) -> None:
        self.exchange = exchange
        self.clock = clock
        self.repeats = not exchange.tells_once
        self._queue = InMemoryCallQueue(clock)
        self._positions = InMemoryPositionStore()
        self._parts = (exchange.faults, self._queue, self._positions)
        self._read = 0
        self._records: list[CallRecord] = []

    @property
    def records(self) -> list[CallRecord]:
        """Each message is read once: nobody takes one from the queue."""
        texts = self._queue.texts
        self._records += (record for text in texts[self._read :] for record in letter_of(text).records)
        self._read = len(texts)
        return self._records

    @property
    def position(self) -> Position | None:
        return self._positions.stored.text if self._positions.stored else None

    def look(self, most: int) -> bool:
        """Whether it could: a poll that could not even give its lease back may have it."""
        source, budget = self.exchange.source, timedelta(seconds=most - 1)
        poller = make_poller(source, self._queue, self._positions, self.clock, time_budget=budget, lease=LEASE)
        return poll(poller).result != "held"

    def fail(self, n: int, *, answer_lost: bool) -> None:
        self.repeats = True
        part = self._parts[n % 3]
        error = SourceUnavailable if part is self.exchange.faults else StorageUnavailable
        part.fail_at(1 + n // 3, error("told to"), answer_lost=answer_lost)

    @property
    def will_fail(self) -> bool:
        return any(part.will_fail for part in self._parts)


class History:
    """What happens in a phone system, and what a reader has told of it."""

    def __init__(self, exchange: Exchange, clock: HandMovedClock, reader: ByHand | ByPoll) -> None:
        self.exchange = exchange
        self.clock = clock
        self.reader = reader
        self.calls = 0
        self.written: dict[int, tuple[datetime, bool]] = {}
        self.going_on: list[int] = []
        self.over: set[int] = set()

    def take(self, step: str, number: int, flag: bool) -> None:  # noqa: FBT001 - a step is a tuple
        match step:
            case "write":
                for _ in range(number):
                    self.calls += 1
                    self.exchange.write(self.calls, over=flag)
                    self.written[self.calls] = (self.clock.now(), flag)
            case "commit" if self.written:
                self._commit(list(self.written)[number % len(self.written)])
            case "roll back" if self.written:
                call = list(self.written)[number % len(self.written)]
                del self.written[call]
                self.exchange.roll_back(call)
            case "end" if self.going_on:
                self._end(self.going_on[number % len(self.going_on)])
            case "skip":
                self.exchange.skip(number)
            case "wait":
                self._wait(timedelta(seconds=number))
            case "look":
                with suppress(PipelineError):
                    if not self.reader.look(number):
                        self._wait(LEASE)
                        self.reader.look(number)
                assert self.over.issuperset(self._came())
            case "fail":
                self.reader.fail(number, answer_lost=flag)

    def finish(self) -> None:
        """Everything that is written is committed, and half of it over; each failure to come stops one look at most,
        and after the last one a single look must do."""
        for call in list(self.written):
            self._commit(call)
        for call in self.going_on[::2]:
            self._end(call)
        looks = takewhile(lambda _: self.reader.will_fail, range(30))
        for _ in chain(looks, ("the last one",)):
            self.take("look", 1_000, False)
        assert self.over == self._came().keys()
        assert self.reader.repeats or max(self._came().values(), default=1) == 1
        position = self.reader.position
        assert position is not None
        assert self.exchange.source.progress(position).open_calls == len(self.going_on)
        with self.exchange.source.connect() as reader:
            assert all(reader.has_passed(position, record) for record in self.reader.records)
            for record in self.reader.records[-3:]:
                assert record.id in {each.id for each in reader.again(record)}
            newest = {self.exchange.call_of(record) for record in reader.newest(3)}
        assert (newest <= self.over, len(newest)) == (True, min(3, len(self.over)))

    def _came(self) -> Counter[int]:
        """How often each call."""
        return Counter(map(self.exchange.call_of, self.reader.records))

    def _commit(self, call: int) -> None:
        _, over = self.written.pop(call)
        self.exchange.commit(call)
        self.over.add(call) if over else self.going_on.append(call)

    def _end(self, call: int) -> None:
        self.going_on.remove(call)
        self.over.add(call)
        self.exchange.end(call)

    def _wait(self, span: timedelta) -> None:
        """No transaction takes longer than the longest one may."""
        for call, (since, _) in list(self.written.items()):
            if self.clock.now() + span - since >= LONGEST_COMMIT:
                self._commit(call)
        self.clock.move(span)


@pytest.mark.parametrize("how", ["by hand", "by poll"])
@pytest.mark.parametrize(("make", "histories"), EXCHANGES.values(), ids=EXCHANGES)
def test_each_call_that_is_over_comes_and_none_that_is_not(
    make: MakeExchange, histories: int, how: str, tmp_path: Path
) -> None:
    @hypothesis.settings(max_examples=histories, suppress_health_check=list(hypothesis.HealthCheck))
    @hypothesis.given(st.integers(1, 7), HISTORIES)
    def check(page_size: int, steps: list[Step]) -> None:
        clock = HandMovedClock(datetime(2026, 11, 22, 12, tzinfo=UTC))
        exchange = make(clock, page_size, tmp_path)
        history = History(exchange, clock, ByHand(exchange) if how == "by hand" else ByPoll(exchange, clock))
        for step in steps:
            history.take(*step)
        history.finish()

    check()
