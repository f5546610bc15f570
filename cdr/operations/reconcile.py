"""Use case: compare the database's rows of some days with the ledger. The answer to "is a call missing?"."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

from cdr.calls.call import RawRow
from cdr.calls.call_queue import CallQueue
from cdr.calls.message import encode_row
from cdr.intake.ports import CdrReader, CdrSource, CheckpointStore
from cdr.submission.ports import CallLedger
from shared import log

PAGE_SIZE = 500
SHOWN_IDS = 1_000


@dataclass(frozen=True, slots=True)
class Reconciliation:
    """Rows that ended within the days (UTC), both included, against the ledger's records of them.

    ``not_polled_yet`` rows are beyond the checkpoint, so nothing is missing about them. Lists of ids stop at 1,000; the
    counts do not.
    """

    rows: int
    recorded: int
    not_polled_yet: int
    missing: int
    missing_ids: list[int]
    only_in_ledger: int
    only_in_ledger_ids: list[int]
    queued: int = 0


def reconcile(
    *,
    source: CdrSource,
    ledger: CallLedger,
    checkpoints: CheckpointStore,
    first: date,
    last: date,
    queue: CallQueue | None = None,
) -> Reconciliation:
    """Compare; with a queue, also send the missing rows on their way. A row that is still on the queue from its poll
    counts as missing, and sending it twice does no harm.

    :raises SourceUnavailable, SourceMisconfigured, StorageUnavailable: nothing can be said
    """
    checkpoint, _ = checkpoints.read()
    position = checkpoint.position if checkpoint else None
    recorded = ledger.row_ids(first - timedelta(days=1), last + timedelta(days=1))
    of_these_days = ledger.row_ids(first, last, undated=False)
    seen: set[int] = set()
    missing: list[int] = []
    waiting = queued = 0
    with source.connect() as reader:
        for page in _pages(reader, first, last):
            seen.update(row["id"] for row in page)
            polled = [row for row in page if position is not None and row["id"] <= position]
            waiting += len(page) - len(polled)
            absent = [row for row in polled if row["id"] not in recorded]
            missing += [row["id"] for row in absent]
            if queue is not None and absent:
                queue.send_all([encode_row(row) for row in absent])
                queued += len(absent)
    surplus = sorted(of_these_days - seen)
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


def _pages(reader: CdrReader, first: date, last: date) -> Iterator[list[RawRow]]:
    start = datetime.combine(first, time(), UTC)
    end = datetime.combine(last + timedelta(days=1), time(), UTC)
    after: int | None = None
    while page := reader.rows_ended_between(start, end, after, PAGE_SIZE):
        yield page
        after = page[-1]["id"]
