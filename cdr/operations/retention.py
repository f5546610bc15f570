"""Use case: remove the ledger's records that nobody needs any more."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from cdr.operations.ports import LedgerRecords
from shared import log
from shared.clock import Clock
from shared.telling import telling_of_storage


@dataclass(frozen=True, slots=True)
class Cleaner:
    """What the ledger is cleaned with. Rejected calls are kept for a time of their own."""

    records: LedgerRecords
    clock: Clock
    keep: timedelta
    keep_rejected: timedelta
    time_budget: timedelta


@telling_of_storage()
def clean_ledger(cleaner: Cleaner) -> int:
    """Remove calls that have been settled for long enough.

    :returns: how many were removed; what the time budget leaves is for the next day
    :raises StorageUnavailable: what was removed until then stays removed
    """
    started = cleaner.clock.now()
    removed = 0
    for batch in cleaner.records.remove_settled(started - cleaner.keep, started - cleaner.keep_rejected, started):
        removed += batch
        if cleaner.clock.now() - started >= cleaner.time_budget:
            break
    log.event("ledger.cleaned", removed=removed)
    return removed
