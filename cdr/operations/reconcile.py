"""Use case: compare the phone system's calls of some days with the ledger. The answer to "is a call missing?"."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, time, timedelta

from cdr.calls.call import CallRecord, Job
from cdr.calls.call_queue import CallQueue
from cdr.calls.message import Message
from cdr.calls.packing import Packing
from cdr.calls.rules import CallRules, call_key
from cdr.intake.ports import CallReader, CallSource, KeptPosition, PositionStore, StoredPosition
from cdr.operations.ledger_days import LedgerDays, Standing
from cdr.operations.ports import LedgerRecords
from cdr.operations.watch_memory import Remembered
from shared import log
from shared.clock import Clock
from shared.errors import DaysForgotten, PipelineError, PositionOfAnotherSource

SHOWN_IDS = 1_000
_UNKNOWN = datetime.min.replace(tzinfo=UTC)
OPEN = (Standing.ABSENT, Standing.LOST, Standing.CHANGED, Standing.AGAIN)


@dataclass(frozen=True, slots=True)
class Reconciler:
    """What is compared, and where missing calls go.

    A claim that ran out ``stalled_after`` ago has lost its message; records are kept for the time ``keep``. So many
    calls as ``most_at_once`` are kept in mind until it is known whether they are missing.
    """

    source: CallSource
    positions: PositionStore
    records: LedgerRecords
    queue: CallQueue
    clock: Clock
    rules: CallRules = field(repr=False)
    stalled_after: timedelta
    keep: timedelta
    time_budget: timedelta
    packing: Packing
    most_at_once: int = 10_000


@dataclass(frozen=True, slots=True)
class Reconciliation:
    """Calls that ended within the days (UTC), both included, against the ledger's records of them.

    Nothing is missing about those that are ``not_polled_yet``, that lie ``before_start``, or that ``may_be_queued``:
    so many messages are on the queue that nobody has looked at. ``changed`` calls were not logged, and their rows were
    written to since; ``again`` are those that are to be judged once more; ``changed_late`` ones are in, and stay so.
    Lists of ids stop at 1,000; the counts do not. ``complete`` is False where the time was over, or too many were
    missing to go on: ask again, for fewer days.
    """

    rows: int
    recorded: int
    not_polled_yet: int
    before_start: int
    may_be_queued: int
    missing: int
    missing_ids: Sequence[str]
    changed: int
    changed_ids: Sequence[str]
    again: int
    again_ids: Sequence[str]
    changed_late: int
    changed_late_ids: Sequence[str]
    only_in_ledger: int
    only_in_ledger_ids: Sequence[str]
    queued: int = 0
    complete: bool = True


def reconcile(
    reconciler: Reconciler, first: date, last: date, *, queue_missing: bool = False, again: str | None = None
) -> Reconciliation:
    """Compare, and if so wanted send missing and changed calls on their way, as they are in the phone system now.

    ``again`` is a reason: calls that were skipped or rejected for it are sent with them, to be judged by the rules of
    now.

    :raises DaysForgotten: the ledger may have forgotten calls of these days
    :raises SourceUnavailable, SourceMisconfigured, PositionOfAnotherSource, StorageUnavailable: nothing can be said
    """
    oldest = _oldest_day(reconciler)
    if first < oldest:
        raise DaysForgotten(
            f"records are kept for {reconciler.keep.days} days (ledger.keep_days): of days before {oldest} nobody can "
            "know whether their calls are in"
        )
    comparison = _Comparison(reconciler, first, last, again)
    comparison.read()
    found = comparison.result(queue_missing=queue_missing)
    is_bad = found.missing or found.changed or not found.complete
    log.event(
        "reconcile.finished",
        level=logging.WARNING if is_bad else logging.INFO,
        first=first,
        last=last,
        rows=found.rows,
        missing=found.missing,
        changed=found.changed,
        changed_late=found.changed_late,
        may_be_queued=found.may_be_queued,
        only_in_ledger=found.only_in_ledger,
        queued=found.queued,
        complete=found.complete,
    )
    return found


def reconcile_last_days(reconciler: Reconciler, days: int) -> Reconciliation:
    """The last days and this one, by a timer: what is missing is queued."""
    today = reconciler.clock.now().date()
    first = max(today - timedelta(days=days), _oldest_day(reconciler))
    try:
        return reconcile(reconciler, first, today, queue_missing=True)
    except Exception as exc:
        # Of a defect not the text, which may hold anything.
        reason = log.mask_numbers(str(exc)) if isinstance(exc, PipelineError) else "a defect of the app"
        log.event("reconcile.failed", level=logging.ERROR, error=type(exc).__name__, reason=reason)
        raise


def _oldest_day(reconciler: Reconciler) -> date:
    """The first one of which every record is kept."""
    return (reconciler.clock.now() - reconciler.keep).date() + timedelta(days=1)


class _Comparison:
    """A comparison under way. What was polled, and how much is on the queue, is looked at first: whatever is polled or
    worked on meanwhile is then never taken for missing."""

    def __init__(self, reconciler: Reconciler, first: date, last: date, again: str | None) -> None:
        self._reconciler = reconciler
        self._span = tuple(datetime.combine(day, time(), UTC) for day in (first, last + timedelta(days=1)))
        self._deadline = reconciler.clock.now() + reconciler.time_budget
        kept = reconciler.positions.read()
        self._stored = _position(reconciler, kept)
        self._depth = reconciler.queue.depth()
        now = reconciler.clock.now()
        self._days = LedgerDays(
            reconciler.records,
            first,
            last,
            now - reconciler.stalled_after,
            now,
            again,
            _former_rules(reconciler.rules, kept),
        )
        self._rows = self._not_polled = self._before_start = 0
        self._recorded = self._changed_late = 0
        self._late_ids: list[str] = []
        self._open: dict[Standing, list[Job]] = {each: [] for each in OPEN}
        self._is_complete = True

    def read(self) -> None:
        start, end = self._span
        with self._reconciler.source.connect() as reader:
            for page in reader.ended_between(start, end):
                for record in page:
                    self._take(record, reader)
                if self._reconciler.clock.now() >= self._deadline or self._has_too_many:
                    self._is_complete = False
                    return

    def _take(self, record: CallRecord, reader: CallReader) -> None:
        job, stored = Job(record, call_key(record, self._reconciler.rules)), self._stored  # nothing is told of it
        standing = self._days.standing(job)
        self._rows += 1
        if standing in (Standing.RECORDED, Standing.CHANGED_LATE):
            self._recorded += 1
            if standing is Standing.CHANGED_LATE:
                self._changed_late += 1
                self._late_ids += [record.id] * (len(self._late_ids) < SHOWN_IDS)
        elif stored is None or not reader.has_passed(stored.text, record):
            self._not_polled += 1
        elif standing is Standing.ABSENT and stored.began is not None and reader.has_passed(stored.began, record):
            self._before_start += 1
        else:
            self._open[standing].append(job)

    @property
    def _has_too_many(self) -> bool:
        return sum(map(len, self._open.values())) > self._reconciler.most_at_once

    def result(self, *, queue_missing: bool) -> Reconciliation:
        surplus = sorted(self._days.without_a_call(), key=_in_order) if self._is_complete else []
        absent = sorted(self._open[Standing.ABSENT], key=_end_of)
        on_queue = min(len(absent), self._most_on_queue())
        missing = [*self._open[Standing.LOST], *absent[: len(absent) - on_queue]]
        changed, again = self._open[Standing.CHANGED], self._open[Standing.AGAIN]
        if queue_missing:
            self._reconciler.queue.send_all(self._letters([*missing, *changed], again))
        return Reconciliation(
            rows=self._rows,
            recorded=self._recorded,
            not_polled_yet=self._not_polled,
            before_start=self._before_start,
            may_be_queued=on_queue,
            missing=len(missing),
            missing_ids=_ids(missing),
            changed=len(changed),
            changed_ids=_ids(changed),
            again=len(again),
            again_ids=_ids(again),
            changed_late=self._changed_late,
            changed_late_ids=sorted(self._late_ids, key=_in_order),
            only_in_ledger=len(surplus),
            only_in_ledger_ids=surplus[:SHOWN_IDS],
            queued=len(missing) + len(changed) + len(again) if queue_missing else 0,
            complete=self._is_complete,
        )

    def _most_on_queue(self) -> int:
        """A message that a worker has looked at has claims; any other may be full."""
        most = self._reconciler.packing.most_calls
        return most * max(0, self._depth - -(-self._days.claims // most))

    def _letters(self, open_jobs: Sequence[Job], again: Sequence[Job]) -> Iterator[Message]:
        """One that has a record elsewhere takes along where, in a message of its own."""
        places = [*((job, self._days.old_place(job)) for job in open_jobs), *((job, job.key) for job in again)]
        yield from self._reconciler.packing.pack([job.record for job, place in places if place is None])
        yield from (Message((job.record,), replay_of=place) for job, place in places if place is not None)


def _former_rules(rules: CallRules, kept: KeptPosition) -> CallRules | None:
    """Those by which calls had their names before the template was changed."""
    template = Remembered.from_text(kept.memory).named_before
    return replace(rules, pbx_call_id=template or None) if template is not None else None


def _position(reconciler: Reconciler, kept: KeptPosition) -> StoredPosition | None:
    stored = kept.stored
    if stored is not None and stored.source != reconciler.source.name:
        raise PositionOfAnotherSource(
            f"3cx.source is {reconciler.source.name}, but what was polled so far is of {stored.source}"
        )
    return stored


def _end_of(job: Job) -> datetime:
    """The queue brings the oldest first, so the newest are the ones that may still be on it."""
    return job.key.ended_at or _UNKNOWN


def _ids(jobs: Sequence[Job]) -> Sequence[str]:
    return sorted((job.record.id for job in jobs), key=_in_order)[:SHOWN_IDS]


def _in_order(record_id: str) -> tuple[int, int, str]:
    """Whole numbers as such, and before texts."""
    try:
        return 0, int(record_id), ""
    except ValueError:
        return 1, 0, record_id
