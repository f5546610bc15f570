"""A message that comes back again and again is tried apart from those it was delivered with, and not for ever."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from cdr.calls.call import Outcome
from cdr.calls.message import decode_row
from cdr.submission.breakers import ApiWatch, RejectionLimit
from cdr.submission.submit import DELIVERIES_TOGETHER, LONGEST_DELAY, TIMES_APART, SubmitPlan, Worker, submit_call
from cdr.wiring.parts import CLAIM_LEASE, SUBMIT_BUDGET
from shared.clock import HandMovedClock
from tests.fakes.call_api import InMemoryCallApi
from tests.fakes.call_queue import InMemoryCallQueue
from tests.fakes.ledger import InMemoryLedger
from tests.support.factories import make_message, make_rules


def make_worker() -> Worker:
    clock = HandMovedClock(datetime(2026, 11, 22, 12, 0, tzinfo=UTC))
    plan = SubmitPlan(make_rules(), CLAIM_LEASE, SUBMIT_BUDGET, timedelta(days=7))
    ledger, queue, api = InMemoryLedger(), InMemoryCallQueue(clock), InMemoryCallApi()
    return Worker(ledger, api, queue, clock, ApiWatch(), RejectionLimit(60), lambda: 0.5, plan)


def test_the_first_redelivery_is_worked_on_and_a_later_one_set_apart_by_a_random_delay() -> None:
    worker = make_worker()
    assert submit_call(make_message(), worker, deliveries=DELIVERIES_TOGETHER + 1) is Outcome.PUT_BACK
    (sent,) = worker.queue.messages
    assert sent.visible_at - worker.clock.now() == LONGEST_DELAY / 2
    assert worker.ledger.records == {}, "nothing was tried that may have been the end of the process"
    assert submit_call(sent.text, worker, deliveries=DELIVERIES_TOGETHER) is Outcome.SUBMITTED


def test_a_message_that_ends_every_process_is_left_to_the_host_in_the_end() -> None:
    worker, text, times = make_worker(), make_message(), 0
    while submit_call(text, worker, deliveries=10) is Outcome.PUT_BACK:
        worker.clock.move(LONGEST_DELAY)
        text, times = worker.queue.take(), times + 1
        assert decode_row(text).travels.times_put_back == times
    assert times == TIMES_APART
