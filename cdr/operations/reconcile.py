"""Use case: compare the phone system's calls of some days with the ledger. The answer to "is a call missing?"."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

from cdr.calls.call_queue import CallQueue
from cdr.calls.message import pack
from cdr.intake.ports import CallSource, Position, PositionStore
from cdr.operations.ports import LedgerRecords
from shared import log
from shared.clock import Clock
from shared.errors import PositionOfAnotherSource

SHOWN_IDS = 1_000


@dataclass(frozen=True, slots=True)
class Reconciler:
    """What is compared, and where missing calls go. A claim that ran out ``stalled_after`` ago has lost its message."""

    source: CallSource
    positions: PositionStore
    records: LedgerRecords
    queue: CallQueue
    clock: Clock
    stalled_after: timedelta


@dataclass(frozen=True, slots=True)
class Reconciliation:
    """Calls that ended within the days (UTC), both included, against the ledger's records of them.

    ``not_polled_yet`` ones are beyond the position, so nothing is missing about them. Lists of ids stop at 1,000; the
    counts do not.
    """

    rows: int
    recorded: int
    not_polled_yet: int
    missing: int
    missing_ids: Sequence[str]
    only_in_ledger: int
    only_in_ledger_ids: Sequence[str]
    queued: int = 0


def reconcile(reconciler: Reconciler, first: date, last: date, *, queue_missing: bool = False) -> Reconciliation:
    """Compare, and if so wanted send the missing calls on their way.

    One that is still on the queue from its poll counts as missing, and sending it twice does no harm.

    :raises SourceUnavailable, SourceMisconfigured, PositionOfAnotherSource, StorageUnavailable: nothing can be said
    """
    position = _position(reconciler)
    around, stalled_before = timedelta(days=1), reconciler.clock.now() - reconciler.stalled_after
    recorded = reconciler.records.record_ids(first - around, last + around, stalled_before=stalled_before)
    of_these_days = reconciler.records.record_ids(first, last, undated=False)
    seen: set[str] = set()
    missing: list[str] = []
    waiting = queued = 0
    start, end = (datetime.combine(day, time(), UTC) for day in (first, last + timedelta(days=1)))
    with reconciler.source.connect() as reader:
        for page in reader.ended_between(start, end):
            seen.update(record.id for record in page)
            polled = [record for record in page if position is not None and reader.has_passed(position, record)]
            waiting += len(page) - len(polled)
            absent = [record for record in polled if record.id not in recorded]
            missing += [record.id for record in absent]
            if queue_missing and absent:
                reconciler.queue.send_all(pack(absent))
                queued += len(absent)
    surplus = sorted(of_these_days - seen, key=_in_order)
    log.event("reconcile.finished", rows=len(seen), missing=len(missing), only_in_ledger=len(surplus), queued=queued)
    return Reconciliation(
        rows=len(seen),
        recorded=len(seen & recorded),
        not_polled_yet=waiting,
        missing=len(missing),
        missing_ids=missing[:SHOWN_IDS],
        only_in_ledger=len(surplus),
        only_in_ledger_ids=surplus[:SHOWN_IDS],
        queued=queued,
    )


def _position(reconciler: Reconciler) -> Position | None:
    stored = reconciler.positions.read().stored
    if stored is not None and stored.source != reconciler.source.name:
        raise PositionOfAnotherSource(
            f"3cx.source is {reconciler.source.name}, but what was polled so far is of {stored.source}"
        )
    return stored.text if stored is not None else None


def _in_order(record_id: str) -> tuple[int, int, str]:
    """Whole numbers as such, and before texts."""
    try:
        return 0, int(record_id), ""
    except ValueError:
        return 1, 0, record_id
