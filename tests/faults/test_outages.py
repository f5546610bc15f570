"""Outages of hours and days, with a clock that is moved by hand over in-memory twins."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import cycle, pairwise

import pytest

from cdr.calls.call import Accepted, Call, Outcome, State
from cdr.calls.message import decode_row
from cdr.submission.breakers import ApiWatch, RejectionLimit
from cdr.submission.submit import LONGEST_DELAY, SubmitPlan, Worker, submit_call
from cdr.wiring.parts import CLAIM_LEASE, SUBMIT_BUDGET
from shared.clock import HandMovedClock
from shared.errors import ApiDenied, ApiRejected, ApiUnavailable, SubmissionUnknown
from tests.fakes.call_api import InMemoryCallApi
from tests.fakes.call_queue import InMemoryCallQueue
from tests.fakes.ledger import InMemoryLedger
from tests.support.factories import make_message, make_rules

CALLS = 10
WEEK = timedelta(days=7)
AFTER_ALL = timedelta(seconds=30)
"""A message may wait behind the others, and is hidden for whole seconds."""


class FailingApi(InMemoryCallApi):
    """Fails as it is told, from some moment to another; each failure costs the client's patience."""

    def __init__(self, clock: HandMovedClock) -> None:
        super().__init__()
        self.clock = clock
        self.failure: Callable[[], Exception] | None = None
        self.costs = timedelta(seconds=10)
        self.tried: list[datetime] = []
        self.inserts_anyway = False

    def submit(self, call: Call, *, give_up_at: datetime, patient: bool = True) -> Accepted:
        self.tried.append(self.clock.now())
        if self.failure is None:
            return super().submit(call, give_up_at=give_up_at, patient=patient)
        if self.inserts_anyway:
            super().submit(call, give_up_at=give_up_at, patient=patient)
        self.clock.move(self.costs)
        raise self.failure()


class Simulation:
    """Two workers on one queue; time jumps to the next message that becomes visible."""

    def __init__(self, *, calls: int = CALLS, rejections: int = 60) -> None:
        self.clock = HandMovedClock(datetime(2026, 11, 1, tzinfo=UTC))
        self.queue = InMemoryCallQueue(self.clock)
        self.ledger = InMemoryLedger()
        self.api = FailingApi(self.clock)
        plan = SubmitPlan(make_rules(), CLAIM_LEASE, SUBMIT_BUDGET, WEEK)
        # Jitter, but the same in each run.
        jitter = cycle([0.1, 0.9, 0.4, 0.0, 0.7])
        self.workers = [
            Worker(
                self.ledger,
                self.api,
                self.queue,
                self.clock,
                ApiWatch(),
                RejectionLimit(rejections),
                lambda: next(jitter),
                plan,
            )
            for _ in range(2)
        ]
        self.deliveries: dict[int, list[datetime]] = defaultdict(list)
        self.ended: dict[int, tuple[datetime, Outcome]] = {}
        self.add(*range(1, calls + 1))

    def add(self, *ids: int) -> None:
        self.queue.send_all([make_message(id=row_id, call_id=f"c-{row_id}") for row_id in ids])

    def run(self, span: timedelta, *, until_empty: bool = False) -> None:
        """Work off what becomes visible within the span. An error that leaves submit_call ends the test: each would be
        a step on the way to the poison queue."""
        end = self.clock.now() + span
        turns = cycle(self.workers)
        while self.queue.messages:
            soonest = min(message.visible_at for message in self.queue.messages)
            if soonest >= end:
                break
            if soonest > self.clock.now():
                self.clock.move(soonest - self.clock.now())
            text = self.queue.take()
            row_id = decode_row(text).id
            self.deliveries[row_id].append(self.clock.now())
            outcome = submit_call(text, next(turns))
            if outcome is not Outcome.PUT_BACK:
                self.ended[row_id] = (self.clock.now(), outcome)
        if not until_empty and self.clock.now() < end:
            self.clock.move(end - self.clock.now())

    @property
    def states(self) -> list[State]:
        return [record.state for record in self.ledger.records.values()]


@pytest.fixture(autouse=True)
def quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    """Days make a hundred thousand log lines, which nobody reads here."""
    monkeypatch.setattr(logging.getLogger("cdr"), "disabled", True)


def no_answer() -> Exception:
    return SubmissionUnknown("the call was sent and no answer came")


FAILURES = [
    pytest.param(lambda: ApiUnavailable("the API answered 503"), timedelta(0), id="503"),
    pytest.param(lambda: ApiUnavailable("not reached"), timedelta(seconds=5), id="down"),
    pytest.param(lambda: ApiDenied("the API answered 401: check api.auth"), timedelta(0), id="401"),
    pytest.param(no_answer, timedelta(seconds=30), id="time-outs"),
]


@pytest.mark.parametrize(("failure", "costs"), FAILURES)
@pytest.mark.parametrize("span", [timedelta(minutes=7), timedelta(hours=6), timedelta(days=1)], ids=str)
def test_an_outage_only_delays_calls_and_all_are_logged_within_5_minutes_of_its_end(
    failure: Callable[[], Exception], costs: timedelta, span: timedelta
) -> None:
    simulation = Simulation()
    simulation.api.failure, simulation.api.costs = failure, costs
    simulation.run(span)
    assert simulation.ended == {}, "nothing is rejected or given up"
    assert State.REJECTED not in simulation.states
    simulation.api.failure = None
    back_at = simulation.clock.now()
    simulation.add(CALLS + 1)
    simulation.run(timedelta(hours=1), until_empty=True)
    assert sorted(simulation.ended) == list(range(1, CALLS + 2))
    assert {outcome for _, outcome in simulation.ended.values()} == {Outcome.SUBMITTED}
    assert max(at for at, _ in simulation.ended.values()) - back_at <= LONGEST_DELAY + AFTER_ALL
    assert simulation.ended[CALLS + 1][0] - back_at <= AFTER_ALL, "a new call flows at once"
    assert sorted(simulation.api.submitted) == sorted({*simulation.api.submitted})
    assert len(simulation.api.submitted) == CALLS + 1


@pytest.mark.parametrize(("failure", "costs"), FAILURES)
def test_in_a_long_outage_a_message_is_put_back_every_5_minutes_and_the_api_is_left_in_peace(
    failure: Callable[[], Exception], costs: timedelta
) -> None:
    simulation = Simulation()
    simulation.api.failure, simulation.api.costs = failure, costs
    simulation.run(timedelta(hours=12))
    for moments in simulation.deliveries.values():
        waits = [later - earlier for earlier, later in pairwise(moments)]
        settled = waits[8:]
        assert min(settled) >= LONGEST_DELAY * 4 / 5
        assert max(settled) <= LONGEST_DELAY + CALLS * costs
    most = 2 * timedelta(hours=12) / timedelta(seconds=5)
    assert 0 < len(simulation.api.tried) <= most, "each worker probes every 5 seconds at most"


def test_a_call_whose_answers_are_lost_for_hours_is_in_once_and_known() -> None:
    simulation = Simulation(calls=5)
    simulation.api.failure, simulation.api.inserts_anyway = no_answer, True
    simulation.run(timedelta(hours=5))
    simulation.api.failure = None
    simulation.run(timedelta(hours=1), until_empty=True)
    assert len(simulation.api.submitted) == len(set(simulation.api.submitted)) == 5
    assert simulation.states == [State.SUBMITTED] * 5


@pytest.mark.parametrize(("failure", "costs"), FAILURES)
def test_after_7_days_a_call_is_given_up_with_its_last_error(
    failure: Callable[[], Exception], costs: timedelta
) -> None:
    simulation = Simulation(calls=4)
    started = simulation.clock.now()
    simulation.api.failure, simulation.api.costs = failure, costs
    simulation.run(WEEK)
    assert simulation.ended == {}
    # The seven days begin when a call is put back for the first time, which a lost answer delays to the end of a lease.
    simulation.run(timedelta(minutes=10))
    assert simulation.queue.messages == []
    assert {outcome for _, outcome in simulation.ended.values()} == {Outcome.REJECTED}
    for record in simulation.ledger.records.values():
        assert (record.state, record.reason) == (State.REJECTED, "gave_up")
        assert str(failure()) in record.detail
        assert record.message, "for a replay"
        assert record.settled_at is not None
        assert record.settled_at - started >= WEEK


def test_what_the_api_refuses_all_at_once_is_put_back_and_logged_once_the_api_is_mended() -> None:
    limit, calls = 10, 200
    simulation = Simulation(calls=calls, rejections=limit)
    simulation.api.failure = lambda: ApiRejected("the API answered 400: unknown field")
    simulation.api.costs = timedelta(0)
    simulation.run(timedelta(minutes=3))
    rejected = simulation.states.count(State.REJECTED)
    assert 0 < rejected <= 2 * limit * 4, "ten a minute and worker"
    simulation.api.failure = None
    simulation.run(timedelta(hours=1), until_empty=True)
    assert len(simulation.api.submitted) == calls - rejected
    assert simulation.states.count(State.SUBMITTED) == calls - rejected
