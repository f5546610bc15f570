"""Outages of hours and days, and calls that always fail, with a clock that is moved by hand over fakes."""

from __future__ import annotations

import logging
import random
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime, timedelta
from heapq import heappop, heappush
from itertools import count, cycle, pairwise
from typing import Any

import pytest

from cdr.calls.call import Call, State
from cdr.calls.message import Letter, Message
from cdr.submission.ports import Accepted
from cdr.submission.submit import Outcome, submit
from shared.errors import ApiDenied, ApiFailed, ApiRejected, ApiUnavailable, SubmissionUnknown
from tests.fakes.clock import HandMovedClock
from tests.fakes.ledger import InMemoryLedger
from tests.support.factories import make_message
from tests.support.workshop import NOON, TIMES, Workshop

SECOND, MINUTE, HOUR = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1)
SEED = 20_261_122
LONGEST_DELAY = TIMES.longest_delay
AFTER_ALL = 30 * SECOND
"""A message may wait behind the others."""


class SimulatedApi:
    """A CallApi, quick enough for days. It fails as it is told; each failure costs the client's patience."""

    def __init__(self, clock: HandMovedClock) -> None:
        self.fails: Callable[[Call], Exception | None] = lambda _: None
        self.fails_health: Exception | None = None
        self.costs = timedelta()
        self.tried: list[datetime] = []
        self.submitted: set[str] = set()
        self._clock = clock

    def submit(self, call: Call, **_: Any) -> Accepted:
        self.tried.append(self._clock.now())
        if (error := self.fails(call)) is not None:
            self._clock.move(self.costs)
            raise error
        assert call.pbx_call_id not in self.submitted
        self.submitted.add(call.pbx_call_id)
        return Accepted(None, earlier=False)

    def check_health(self) -> None:
        if (error := self.fails_health) is not None:
            raise error


class Simulation:
    """Two workers on one queue; time jumps to the next message that becomes visible."""

    def __init__(self, calls: int = 0, **options: Any) -> None:
        self.clock = HandMovedClock(NOON)
        self.ledger, self.api = InMemoryLedger(), SimulatedApi(self.clock)
        own = {"ledger": self.ledger, "api": self.api, "queue": self, "random": random.Random(SEED).random}
        self.workers = [Workshop(self.clock, **own, **options).worker for _ in range(2)]
        self._waiting: list[tuple[datetime, int, Letter]] = []
        self._number = count()
        self.deliveries: dict[str, list[datetime]] = defaultdict(list)
        self.ended: dict[str, tuple[datetime, Outcome]] = {}
        for number in range(1, calls + 1):
            self.add(number, self.clock.now())

    def add(self, number: int, at: datetime) -> None:
        """Let a call end at some moment."""
        self._put(make_message(id=number, call_id="c"), at)

    def _put(self, letter: Letter, at: datetime) -> None:
        heappush(self._waiting, (at, next(self._number), letter))

    def send_all(self, letters: Iterable[Letter]) -> None:
        for letter in letters:
            self._put(letter, self.clock.now())

    def send_later(self, letter: Letter, delay: timedelta) -> None:
        self._put(letter, self.clock.now() + delay)

    def depth(self) -> int:
        return len(self._waiting)

    def run(self, span: timedelta, *, until_empty: bool = False) -> None:
        """Work off what becomes visible within the span. An error that leaves submit ends the test: each would be a
        step on the way to the poison queue."""
        end = self.clock.now() + span
        turns = cycle(self.workers)
        while self._waiting and self._waiting[0][0] < end:
            visible_at, _, letter = heappop(self._waiting)
            self.clock.move(max(visible_at - self.clock.now(), timedelta()))
            assert isinstance(letter, Message)
            number = letter.records[0].id
            self.deliveries[number].append(self.clock.now())
            (outcome,) = submit(letter, next(turns))
            if outcome is not Outcome.PUT_BACK:
                self.ended[number] = (self.clock.now(), outcome)
        if not until_empty:
            self.clock.move(max(end - self.clock.now(), timedelta()))

    @property
    def states(self) -> list[State]:
        return [record.state for record in self.ledger.records.values()]


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """Days make a hundred thousand log lines, which nobody reads here."""
    logging.disable()
    yield
    logging.disable(logging.NOTSET)


FAILURES = {
    "503": (ApiUnavailable("the API answered 503"), timedelta()),
    "down": (ApiUnavailable("not reached"), 5 * SECOND),
    "401": (ApiDenied("the API answered 401: check api.auth"), timedelta()),
    "500": (ApiFailed("the API answered 500"), timedelta()),
    "time-outs": (SubmissionUnknown("the call was sent and no answer came"), 30 * SECOND),
}
each_failure = pytest.mark.parametrize(("failure", "costs"), FAILURES.values(), ids=FAILURES)


def failing(simulation: Simulation, failure: Exception, costs: timedelta) -> Simulation:
    simulation.api.fails, simulation.api.costs = lambda _: failure, costs
    return simulation


@each_failure
@pytest.mark.parametrize("span", [7 * MINUTE, 2 * HOUR], ids=str)
def test_an_outage_only_delays_calls_and_all_are_logged_within_5_minutes_of_its_end(
    failure: Exception, costs: timedelta, span: timedelta
) -> None:
    simulation = failing(Simulation(calls=10), failure, costs)
    simulation.run(span)
    assert simulation.ended == {}, "nothing is rejected or given up"
    back_at = simulation.clock.now()
    simulation.api.fails = lambda _: None
    simulation.add(11, back_at)
    simulation.run(HOUR, until_empty=True)
    assert {outcome for _, outcome in simulation.ended.values()} == {Outcome.SUBMITTED}
    assert len(simulation.ended) == 11
    assert max(at for at, _ in simulation.ended.values()) - back_at <= LONGEST_DELAY + AFTER_ALL
    assert simulation.ended["11"][0] - back_at <= AFTER_ALL, "a new call flows at once"
    assert len(simulation.api.submitted) == 11


@each_failure
def test_where_there_is_but_one_call_the_apis_own_health_tells_that_it_is_not_the_call(
    failure: Exception, costs: timedelta
) -> None:
    simulation = failing(Simulation(calls=1), failure, costs)
    simulation.api.fails_health = ApiDenied("the API answered 401: check api.auth")
    simulation.run(6 * HOUR)
    back_at = simulation.clock.now()
    simulation.api.fails, simulation.api.fails_health = lambda _: None, None
    simulation.run(HOUR, until_empty=True)
    assert simulation.ended["1"][0] - back_at <= LONGEST_DELAY + AFTER_ALL


@each_failure
def test_in_a_long_outage_a_message_is_put_back_every_5_minutes_and_the_api_is_left_in_peace(
    failure: Exception, costs: timedelta
) -> None:
    simulation = failing(Simulation(calls=10), failure, costs)
    simulation.run(4 * HOUR)
    for moments in simulation.deliveries.values():
        waits = [later - earlier for earlier, later in pairwise(moments)][8:]
        assert LONGEST_DELAY * 4 / 5 <= min(waits) <= max(waits) <= LONGEST_DELAY + 10 * costs
    assert 0 < len(simulation.api.tried) <= 2 * 4 * HOUR / (5 * SECOND), "each worker probes every 5 seconds at most"


@each_failure
def test_after_its_time_a_call_is_given_up_with_its_last_error(failure: Exception, costs: timedelta) -> None:
    simulation = failing(Simulation(calls=4, give_up_after=6 * HOUR), failure, costs)
    simulation.run(6 * HOUR)
    assert simulation.ended == {}
    simulation.run(HOUR)
    assert {outcome for _, outcome in simulation.ended.values()} == {Outcome.REJECTED}
    assert len(simulation.ended) == 4
    for record in simulation.ledger.records.values():
        assert (record.state, record.reason) == (State.REJECTED, "gave_up")
        assert "no answer came" in record.detail or str(failure) in record.detail
        assert record.message, "for a replay"


def test_what_the_api_refuses_all_at_once_is_put_back_and_logged_once_the_api_is_mended() -> None:
    simulation = failing(
        Simulation(calls=200, rejections=10), ApiRejected("the API answered 400: unknown field"), timedelta()
    )
    simulation.run(3 * MINUTE)
    rejected = simulation.states.count(State.REJECTED)
    assert 0 < rejected <= 2 * 10 * 4, "ten a minute and worker"
    simulation.api.fails = lambda _: None
    simulation.run(HOUR, until_empty=True)
    assert simulation.states.count(State.SUBMITTED) == len(simulation.api.submitted) == 200 - rejected


NEVER_TAKEN = [
    ApiFailed("the API answered 500"),
    ApiDenied("the API answered 403: check api.auth"),
    ApiDenied("the API answered 404: check api.base_url"),
]


def test_calls_that_the_api_always_fails_at_do_not_hold_up_the_others_for_hours() -> None:
    """Not even where a gateway passes on calls, and nobody's /health. One in 50 is never taken and comes again: after
    six hours as many as after twelve if it were one in 100."""
    simulation, lot, pace = Simulation(), random.Random(SEED), 4 * SECOND
    ends = {str(number): NOON + number * pace for number in range(6 * HOUR // pace)}
    bad = {number: lot.choice(NEVER_TAKEN) for number in ends if lot.random() < 0.02}
    for number, at in ends.items():
        simulation.add(int(number), at)
    simulation.api.fails_health = ApiDenied("the API answered 404: check api.base_url")
    simulation.api.fails = lambda call: bad.get(call.pbx_call_id.removeprefix("c-"))
    simulation.run(6 * HOUR + LONGEST_DELAY)
    good = [number for number in simulation.deliveries if number not in bad]
    delays = sorted(simulation.ended[number][0] - ends[number] for number in good)
    assert len(simulation.ended) == len(good) == len(ends) - len(bad)
    assert delays[int(len(delays) * 0.99)] < MINUTE
