"""What one message after the other is worked with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta

from cdr.calls.call_queue import CallQueue
from cdr.calls.rules import CallRules
from cdr.submission.breakers import ApiBreaker, OnceAMinute, RejectionBreaker
from cdr.submission.concurrency import Hands
from cdr.submission.email_addresses import Addresses
from cdr.submission.ports import CallApi, CallLedger
from cdr.submission.retry import RetryPatience
from shared.clock import Clock


@dataclass(frozen=True, slots=True)
class Worker:
    """``budget``, shorter than the claim's lease in ``patience``, is how long a worker may try; nothing is sent that
    could take, with ``longest_attempt``, beyond that. ``random`` yields numbers from 0 up to 1. ``known_causes`` says
    when a person is told once more of rejections that are no surprise.
    ``rules`` are without addresses, which are known better from moment to moment.
    """

    ledger: CallLedger
    api: CallApi
    queue: CallQueue
    clock: Clock
    api_breaker: ApiBreaker
    rejections: RejectionBreaker
    random: Callable[[], float]
    patience: RetryPatience
    budget: timedelta
    longest_attempt: timedelta
    rules: CallRules = field(repr=False)
    hands: Hands
    addresses: Addresses
    known_causes: OnceAMinute = field(default_factory=OnceAMinute)

    @property
    def rules_now(self) -> CallRules:
        """With the addresses that are known by now."""
        return self.addresses.known().added_to(self.rules)
