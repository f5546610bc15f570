"""Use case: remove the ledger's records that nobody needs any more."""

from __future__ import annotations

from datetime import timedelta

from cdr.submission.ports import CallLedger
from shared import log
from shared.clock import Clock


def clean_ledger(
    *, ledger: CallLedger, clock: Clock, keep: timedelta, keep_rejected: timedelta, time_budget: timedelta
) -> int:
    """Remove settled calls older than ``keep``, rejected ones only when older than ``keep_rejected``.

    :returns: how many were removed; what the time budget leaves is for the next day
    :raises StorageUnavailable: what was removed until then stays removed
    """
    started = clock.now()
    removed = 0
    for batch in ledger.remove_settled(started - keep, started - keep_rejected):
        removed += batch
        if clock.now() - started >= time_budget:
            break
    log.event("ledger.cleaned", removed=removed)
    return removed
