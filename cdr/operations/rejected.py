"""Use case: which calls were rejected, and why?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice

from cdr.operations.ports import LedgerRecords, RejectedRecord

LOOKED_AT = 3
"""So many notes a call that fits on the page are looked at: some may be out of date."""


@dataclass(frozen=True, slots=True)
class RejectedPage:
    """``next`` is where the next page starts; None on the last one. ``complete`` is False while calls that an earlier
    version rejected may be missing."""

    calls: Sequence[RejectedRecord]
    next: str | None
    complete: bool


def list_rejected(records: LedgerRecords, *, after: str | None, limit: int, reason: str | None = None) -> RejectedPage:
    """Rejected calls, or those for a reason, the newest rejection first. A page may have fewer than its limit, even if
    there is a next one."""
    noted = records.rejected(reason, after)
    found: list[RejectedRecord] = []
    last = None
    for call in islice(noted, LOOKED_AT * limit):
        last = call.place
        if (still := records.still_rejected(call)) is not None:
            found.append(still)
        if len(found) == limit:
            break
    return RejectedPage(found, last if next(noted, None) is not None else None, records.are_all_noted())
