"""The local host with leases of seconds, so that a test need not wait ten minutes for what a killed host held.

Only the numbers are other ones; what is done when they run out is the product's own.
"""

from __future__ import annotations

import sys
from datetime import timedelta

from cdr import wiring
from local import host
from local.host_queue import QueueListener

wiring.POLL_LEASE = timedelta(seconds=4)
wiring.SUBMIT_BUDGET = timedelta(seconds=3)
wiring.CLAIM_LEASE = timedelta(seconds=4)
QueueListener.__init__.__kwdefaults__["lease"] = timedelta(seconds=5)

if __name__ == "__main__":
    sys.exit(host.main())
