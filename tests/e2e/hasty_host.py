"""The local host with leases of seconds, so that a test need not wait ten minutes for what a killed host held.

Only the numbers are other ones; what is done when they run out is the product's own.
"""

from __future__ import annotations

import sys
from datetime import timedelta
from types import ModuleType

from cdr.groups import check
from cdr.submission import submit
from cdr.wiring import parts, plans
from local.host.host import Times, main


def hurry(module: ModuleType, **seconds: int) -> None:
    """Give a module's spans these lengths; one that is no longer there must not be missed in silence."""
    for name, span_s in seconds.items():
        assert isinstance(getattr(module, name), timedelta), name
        setattr(module, name, timedelta(seconds=span_s))


hurry(plans, POLL_LEASE=4)
hurry(parts, SUBMIT_BUDGET=3, CLAIM_LEASE=4)
hurry(submit, FIRST_DELAY=2, LONGEST_DELAY=5, AFTER_THE_LEASE=1)
hurry(check, LEASE=4, LONGEST_STEP=2)

if __name__ == "__main__":
    sys.exit(main(times=Times(queue_lease=timedelta(seconds=5))))
