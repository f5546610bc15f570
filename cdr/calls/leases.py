"""Until when something is somebody's: a call a worker's, the position a poll's, the groups a check's. Pure."""

from __future__ import annotations

from datetime import datetime, timedelta

LONGEST_LEASE = timedelta(minutes=10)
"""Of any version, clocks that differ included."""


def is_beyond_belief(until: datetime, now: datetime, ours: timedelta = timedelta()) -> bool:
    """Whether no lease can have such an end: the clock of who wrote it, or the storage account's, was wrong then, or
    somebody wrote it by hand. Believed, it would keep everybody out for years.

    :param ours: how long one lasts that we would make
    """
    return until - now > max(LONGEST_LEASE, ours)
