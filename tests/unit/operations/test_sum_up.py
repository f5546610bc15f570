"""What is counted and noted of the ledger has all of its calls, those of earlier versions too."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

import pytest

from cdr.operations.replay import Replayer, replay
from cdr.operations.sum_up import Bookkeeper, sum_up
from shared.errors import StorageUnavailable
from tests.fakes.clock import HandMovedClock
from tests.fakes.ledger import InMemoryLedger
from tests.fakes.positions import InMemoryPositionStore
from tests.support.events import Events
from tests.support.workshop import NOON, Workshop

BUDGET = timedelta(minutes=1)


class SlowLedger(InMemoryLedger):
    """A step takes half a minute."""

    def __init__(self, clock: HandMovedClock, steps: int) -> None:
        super().__init__()
        self.clock, self.steps = clock, steps

    def sum_up(self, older_at: datetime | None, now: datetime, may_go_on: Callable[[], bool]) -> bool:
        self.older_at = older_at
        while self.steps and may_go_on():
            self.steps -= 1
            self.clock.sleep(30)
        return not self.steps


def test_it_takes_no_longer_than_it_may_and_the_next_one_goes_on(clock: HandMovedClock) -> None:
    ledger, positions = SlowLedger(clock, steps=3), InMemoryPositionStore()
    keeper = Bookkeeper(ledger, positions, clock, BUDGET)
    assert (sum_up(keeper), ledger.steps) == (False, 1)
    assert (sum_up(keeper), ledger.steps) == (True, 0)
    assert ledger.older_at is None
    positions.older_at = NOON
    sum_up(keeper)
    assert ledger.older_at == NOON


def test_storage_that_fails_is_told_of(clock: HandMovedClock, events: Events) -> None:
    positions = InMemoryPositionStore()
    positions.fail_at(1, StorageUnavailable("table CdrState: 503"))
    with pytest.raises(StorageUnavailable):
        sum_up(Bookkeeper(InMemoryLedger(), positions, clock, BUDGET))
    assert events.only("storage.failed")["reason"] == "table CdrState: 503"


def test_a_replay_sees_to_it_first_and_says_if_it_may_not_know_of_all(shop: Workshop, events: Events) -> None:
    def replayed(steps: int) -> bool:
        keeper = Bookkeeper(SlowLedger(shop.clock, steps), InMemoryPositionStore(), shop.clock, BUDGET)
        return replay(Replayer(shop.ledger, shop.queue, shop.clock, 2 * BUDGET, keeper=keeper)).complete

    assert [replayed(2), replayed(3)] == [True, False]
    assert [event["complete"] for event in events.named("replay.finished")] == [True, False]
