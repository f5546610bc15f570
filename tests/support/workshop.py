"""A worker with fakes around it, and what the host does for it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from cdr.calls.call import CallKey
from cdr.calls.message import Letter
from cdr.submission.breakers import RejectionBreaker
from cdr.submission.concurrency import Hands
from cdr.submission.email_addresses import Addresses
from cdr.submission.submit import Outcome, submit
from cdr.submission.worker import Worker
from cdr.wiring.times import Times
from shared.errors import PipelineError
from tests.fakes.call_api import InMemoryCallApi
from tests.fakes.call_queue import InMemoryCallQueue
from tests.fakes.clock import HandMovedClock
from tests.fakes.ledger import InMemoryLedger, LedgerRecord
from tests.support.factories import make_message, make_rules

NOON = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
KEY = CallKey("2026-11-22", "0000017F-7-7")
"""Where the plain row's call stands by the plain rules."""

TIMES = Times()
GIVE_UP_AFTER = timedelta(days=7)


class Workshop:
    """Works on one message after the other as in production, but always with the longest delays."""

    def __init__(
        self,
        clock: HandMovedClock | None = None,
        *,
        ledger: Any = None,
        api: Any = None,
        queue: Any = None,
        rejections: int = 60,
        give_up_after: timedelta = GIVE_UP_AFTER,
        random: Callable[[], float] = lambda: 0.0,
        hands: int = 1,
        **rules: Any,
    ) -> None:
        self.clock = clock or HandMovedClock(NOON)
        self.ledger: InMemoryLedger = ledger or InMemoryLedger()
        self.api: InMemoryCallApi = api or InMemoryCallApi()
        self.queue: InMemoryCallQueue = queue or InMemoryCallQueue(self.clock)
        made = make_rules(**rules)
        self.worker = Worker(
            ledger=self.ledger,
            api=self.api,
            queue=self.queue,
            clock=self.clock,
            api_breaker=TIMES.api_breaker(),
            rejections=RejectionBreaker(rejections),
            random=random,
            patience=TIMES.patience(give_up_after),
            budget=TIMES.submit_budget,
            longest_attempt=TIMES.longest_attempt,
            rules=made,
            hands=Hands(hands),
            addresses=Addresses(made.emails, self.clock),
        )

    def go_by(self, **rules: Any) -> None:
        """Follow other rules from now on."""
        made = make_rules(**rules)
        self.worker = replace(self.worker, rules=made, addresses=Addresses(made.emails, self.clock))

    def submit(self, letter: Letter, deliveries: int = 1) -> Outcome:
        """Work on a message of one call."""
        (outcome,) = submit(letter, self.worker, deliveries=deliveries)
        return outcome

    def submit_row(self, **changed: Any) -> Outcome:
        return self.submit(make_message(**changed))

    def deliver_visible(self) -> list[Outcome]:
        """What the host does: bring every visible message; one that fails stays."""
        outcomes: list[Outcome] = []
        for _ in range(len(self.queue.visible)):
            letter = self.queue.take()
            try:
                outcomes += submit(letter, self.worker)
            except PipelineError:
                self.queue.send_all([letter])
        return outcomes

    def record(self, key: CallKey = KEY) -> LedgerRecord:
        return self.ledger.records[key]

    @property
    def states(self) -> dict[str | None, str]:
        """By row."""
        return {record.row_id: record.state.value for record in self.ledger.records.values()}
