"""The local host with leases of seconds, so that a test need not wait ten minutes for what a killed host held.

Only the numbers are other ones; what is done when they run out is the product's own.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

from cdr.wiring.parts import Parts
from cdr.wiring.times import Times
from local.host.host import Times as HostTimes
from local.host.host import main

HASTY = Times(
    longest_attempt=timedelta(seconds=1),
    slow_attempt=timedelta(seconds=0.15),
    submit_budget=timedelta(seconds=2.5),
    claim_lease=timedelta(seconds=3),
    redelivery=timedelta(seconds=4),
    first_delay=timedelta(seconds=1),
    longest_delay=timedelta(seconds=3),
    longest_delay_alone=timedelta(seconds=3),
    after_the_lease=timedelta(seconds=0.5),
    poll_lease=timedelta(seconds=2),
    groups_lease=timedelta(seconds=2),
    groups_longest_step=timedelta(seconds=1),
)


def hurry() -> None:
    """Let the functions, which are imported by now, work with these times."""
    functions: Any = sys.modules["function_app"]
    functions.parts = Parts(os.environ, Path.cwd(), times=HASTY)


def run(arguments: Sequence[str]) -> int:
    """The exit status."""
    return main(arguments, times=HostTimes(queue_lease=timedelta(seconds=3)), prepare=hurry)
