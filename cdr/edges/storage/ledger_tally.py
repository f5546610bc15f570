"""How many calls the ledger has, hour by hour and state by state: counted in the very transaction that settles them.

A record says in ``counted`` as what it is counted, and changes it together with a counter beside it, in its own
partition. So the counters are right whatever fails, at any moment. Each counter has one writer at a time, who has its
newest version: nobody waits for anybody, and what was written late, or twice, is refused.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from threading import Lock
from typing import Any
from uuid import uuid4

from cdr.calls.call import UNDATED, CallKey, State
from cdr.edges.storage.table import Table
from cdr.edges.storage.transaction import Insert, Merge, Write

COUNTERS = "!count "
"""What their row keys begin with; no call's does, see escape_key."""

DAYS = "days"
"""The partition with what is known of each day: when somebody last counted there, and its sums."""

TOLD_EVERY = timedelta(hours=1)
"""So that a call on a quiet day costs no request for it."""
MOST_DAYS = 400
"""That a counter's writer, or who tells of days, keeps in mind."""

Label = str
"""As what a record is counted: its hour (or its day, where nobody knows the hour) and its state, and the reason of one
that is rejected. Empty: not yet."""

Counts = Mapping[str, int]
"""By hour and state, and by reason."""


def label_of(key: CallKey, state: str, reason: str, now: datetime, before: Label = "") -> Label:
    """Of a record that is settled now, and was counted before."""
    hour = before.partition(" ")[0]
    if key.ended_at is not None:
        hour = hour_of(key.ended_at)
    elif not hour:
        hour = hour_of(now) if key.day == UNDATED else key.day
    return " ".join([hour, state, *([reason] if state == State.REJECTED else [])])


def hour_of(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%dT%H}"


_LABEL = re.compile(r"(?P<hour>[0-9T-]+) (?P<state>[a-z]+)(?: (?P<reason>\w+))?")


def reason_in(label: Label) -> str:
    """Of one that is rejected; else empty."""
    found = _LABEL.fullmatch(label)
    return (found["reason"] or "") if found else ""


def counts_of(label: Label) -> Counter[str]:
    """What makes no sense counts for nothing."""
    found = _LABEL.fullmatch(label)
    if not found:
        return Counter()
    reasons = {f"reason {found['reason']}": 1} if found["reason"] else {}
    return Counter({f"{found['hour']} {found['state']}": 1, **reasons})


def change(before: Label, after: Label) -> Counter[str]:
    found = counts_of(after)
    found.subtract(counts_of(before))
    return Counter({name: n for name, n in found.items() if n})


def total(changes: Iterable[Counts]) -> Counter[str]:
    found: Counter[str] = Counter()
    for each in changes:
        for name, n in each.items():
            found[name] += n
    return Counter({name: n for name, n in found.items() if n})


def is_counter(entity: Mapping[str, Any]) -> bool:
    return str(entity["RowKey"]).startswith(COUNTERS)


def counts_in(text: Any) -> Counter[str]:
    """What as_text wrote; anything else counts for nothing."""
    try:
        return Counter({str(name): int(n) for name, n in json.loads(text or "{}").items()})
    except (TypeError, ValueError, AttributeError, OverflowError, RecursionError):
        return Counter()


def as_text(counts: Counts) -> str:
    return json.dumps(dict(sorted(counts.items())), separators=(",", ":"))


def counter(day: str, counts: Counts, now: datetime) -> dict[str, Any]:
    """A new one. Versions that know of none take it for a skipped call, which is removed when it is old."""
    of_old = {"state": State.SKIPPED.value, "reason": "", "detail": "", "settled_at": now, "attempts": 0}
    return {"PartitionKey": day, "RowKey": f"{COUNTERS}{uuid4().hex}", "counts": as_text(counts), **of_old}


@dataclass
class _Row:
    """A counter of a day, as it was last written."""

    row: str
    version: str
    counts: Counter[str]


@dataclass
class _Pen:
    """Writes to counters of its own, one for each day, and is in one hand at a time."""

    rows: dict[str, _Row] = field(default_factory=dict)

    def write(self, day: str, changed: Counts, now: datetime) -> tuple[Write, _Row]:
        """What adds the change to the day's counter, and how that stands then."""
        known = self.rows.pop(day, None)  # until it is certain how it stands
        if known is None:
            entity = counter(day, total([changed]), now)
            return Insert(entity), _Row(entity["RowKey"], "", total([changed]))
        row = _Row(known.row, known.version, total([known.counts, changed]))
        fields = {"PartitionKey": day, "RowKey": row.row, "counts": as_text(row.counts), "settled_at": now}
        return Merge(fields, known.version), row

    def keep(self, day: str, row: _Row, version: str) -> None:
        if len(self.rows) >= MOST_DAYS:
            self.rows.clear()
        row.version = version
        self.rows[day] = row


class LedgerTally:
    """Writes to the ledger and counts what changes, in one transaction. To be kept: each begins counters of its own."""

    def __init__(self, ledger: Table, index: Table) -> None:
        self._ledger = ledger
        self._index = index
        self._pens: list[_Pen] = []
        self._lock = Lock()
        self._told: dict[str, datetime] = {}

    def write(self, writes: Sequence[Write], changed: Counts, now: datetime) -> Sequence[str] | None:
        """All of them, of one day, or none; with one write more than these where something is counted.

        :returns: the versions; None where one is refused
        """
        if not changed:
            return self._ledger.write(writes)
        day = str(writes[0].entity["PartitionKey"])
        self._tell(day, now)
        with self._lock:
            pen = self._pens.pop() if self._pens else _Pen()
        try:
            write, row = pen.write(day, changed, now)
            versions = self._ledger.write([*writes, write])
            if versions is None:
                return None
            pen.keep(day, row, versions[-1])
            return versions[:-1]
        finally:
            with self._lock:
                self._pens.append(pen)

    def _tell(self, day: str, now: datetime) -> None:
        """Somebody counts on this day: to be known before he does."""
        told = self._told.get(day)
        if told is not None and timedelta() <= now - told < TOLD_EVERY:
            return
        self._index.put({"PartitionKey": DAYS, "RowKey": day, "counted_at": now})
        if len(self._told) >= MOST_DAYS:
            self._told.clear()
        self._told[day] = now
