"""What the tests of the use cases share: the fakes, and a worker made of them."""

from __future__ import annotations

from datetime import timedelta

import pytest

from cdr.submission.breakers import RejectionBreaker
from cdr.submission.submit import Worker
from cdr.wiring.times import Times
from shared.clock import HandMovedClock
from tests.fakes.call_api import InMemoryCallApi
from tests.fakes.call_queue import InMemoryCallQueue
from tests.fakes.ledger import InMemoryLedger
from tests.support.factories import make_rules


@pytest.fixture
def queue(clock: HandMovedClock) -> InMemoryCallQueue:
    return InMemoryCallQueue(clock)


@pytest.fixture
def ledger() -> InMemoryLedger:
    return InMemoryLedger()


@pytest.fixture
def api() -> InMemoryCallApi:
    return InMemoryCallApi()


@pytest.fixture
def worker(ledger: InMemoryLedger, api: InMemoryCallApi, queue: InMemoryCallQueue, clock: HandMovedClock) -> Worker:
    """Works on one message after the other as in production, but always with the longest delays."""
    times = Times()
    return Worker(
        ledger,
        api,
        queue,
        clock,
        times.api_breaker(),
        RejectionBreaker(60),
        lambda: 0.0,
        times.patience(timedelta(days=7)),
        times.submit_budget,
        make_rules(),
    )
