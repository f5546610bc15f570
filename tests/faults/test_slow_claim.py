"""A claim that comes back late may be nearly over, and then another worker may get the call at any moment."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from cdr.calls.call import CallKey, Outcome, State
from cdr.submission.breakers import ApiWatch, RejectionLimit
from cdr.submission.ports import Claim, Settled
from cdr.submission.submit import SubmitPlan, Worker, submit_call
from cdr.wiring.parts import CLAIM_LEASE, SUBMIT_BUDGET
from shared.clock import HandMovedClock
from tests.fakes.call_api import InMemoryCallApi
from tests.fakes.call_queue import InMemoryCallQueue
from tests.fakes.ledger import InMemoryLedger
from tests.support.factories import make_message, make_rules

SLACK = CLAIM_LEASE - SUBMIT_BUDGET


class SlowLedger(InMemoryLedger):
    """The claim is granted when it is asked for; the answer takes its time, as with a storage that is tried again."""

    def __init__(self, clock: HandMovedClock, takes: timedelta) -> None:
        super().__init__()
        self._clock, self._takes = clock, takes

    def claim(self, key: CallKey, row_id: int, message: str, now: datetime, lease: timedelta) -> Claim | Settled:
        claim = super().claim(key, row_id, message, now, lease)
        self._clock.move(self._takes)
        return claim


@pytest.mark.parametrize(
    ("takes", "outcome"),
    [
        pytest.param(SLACK, Outcome.SUBMITTED, id="within the slack between budget and lease"),
        pytest.param(SLACK + timedelta(seconds=1), Outcome.PUT_BACK, id="longer"),
        pytest.param(CLAIM_LEASE + timedelta(seconds=1), Outcome.PUT_BACK, id="past the end of the lease"),
    ],
)
def test_a_call_whose_claim_took_too_long_is_put_back_instead_of_submitted(takes: timedelta, outcome: Outcome) -> None:
    clock = HandMovedClock(datetime(2026, 11, 22, 12, 0, tzinfo=UTC))
    ledger, queue, api = SlowLedger(clock, takes), InMemoryCallQueue(clock), InMemoryCallApi()
    plan = SubmitPlan(make_rules(), CLAIM_LEASE, SUBMIT_BUDGET, timedelta(days=7))
    worker = Worker(ledger, api, queue, clock, ApiWatch(), RejectionLimit(60), lambda: 0.0, plan)
    assert submit_call(make_message(), worker) is outcome
    assert len(api.submitted) == (outcome is Outcome.SUBMITTED)
    assert len(queue.texts) == (outcome is Outcome.PUT_BACK)
    if outcome is Outcome.PUT_BACK:
        (record,) = ledger.records.values()
        assert record.state is State.CLAIMED
        assert record.claimed_until <= clock.now(), "given back, for whoever gets the message next"
        assert not worker.watch.is_down(clock.now()), "the API has nothing to do with it"
