"""What a poll works with, of which a test names only what matters to it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from cdr.calls.packing import Packing
from cdr.intake.poll import Poller
from tests.fakes.call_queue import InMemoryCallQueue
from tests.fakes.source_watch import ClosedEyes

MINUTE = timedelta(minutes=1)
ONE_EACH = Packing(side_by_side=1, most_calls=1)


def make_poller(source: Any, queue: Any, positions: Any, clock: Any, **changed: Any) -> Poller:
    """From the beginning, a message for each call, a minute for each poll, and nobody watches."""
    usual = {
        "time_budget": MINUTE,
        "lease": MINUTE,
        "start_from": "beginning",
        "watch": ClosedEyes(),
        "packing": ONE_EACH,
        "seen_queue": InMemoryCallQueue(clock),
        "poison_queue": InMemoryCallQueue(clock),
    }
    return Poller(source, queue, positions, clock, **usual | changed)
