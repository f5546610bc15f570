"""What the ledger says of one call after the other. In memory are a few days of it, and the names of those records of
the others that no call has been asked for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from enum import Enum, auto

from cdr.calls.call import UNDATED, CallKey, Job, State
from cdr.calls.fingerprint import facts, fingerprint, may_be_same
from cdr.calls.leases import is_beyond_belief
from cdr.calls.rules import CallRules, call_key, row_key
from cdr.calls.times import time_of
from cdr.operations.ports import LedgerEntry, LedgerRecords

DAYS_AT_ONCE = 5
"""A call may stand under the day before or after its own, where a time zone was changed in between or its end was
corrected; and calls are not read strictly in order of their ends."""

DAY = timedelta(days=1)


class Standing(Enum):
    """How the ledger stands to a call."""

    RECORDED = auto()
    ABSENT = auto()
    """Nothing is known of it: its message is still on the queue, or was lost."""
    LOST = auto()
    """Nobody works on it any more, or what stands under its number is another call."""
    CHANGED = auto()
    """It was not logged, and its row is another one since."""
    AGAIN = auto()
    """It was not logged for the reason for which calls are to be judged once more."""
    CHANGED_LATE = auto()
    """It is in, and its row is another one since."""


@dataclass
class LedgerDays:
    """The ledger's records of some days (UTC, both included) and around them. A claim that ran out before
    ``stalled_before`` has lost its message; of one that ends later than any can (it is ``now``) nobody knows.
    ``former`` are rules by which calls had other names, once."""

    records: LedgerRecords
    first: date
    last: date
    stalled_before: datetime
    now: datetime
    again: str | None = None
    """A reason for which calls were skipped or rejected."""
    former: CallRules | None = None
    claims: int = 0
    """How many calls workers have in hand, or have put back: their messages are somewhere."""
    _days: dict[str, Mapping[str, LedgerEntry]] = field(default_factory=dict)
    _unseen: dict[str, dict[str, str]] = field(default_factory=dict)
    _names: dict[str, Mapping[str, str]] = field(default_factory=dict)
    _undated: Mapping[str, CallKey] | None = None

    def standing(self, job: Job) -> Standing:
        entry = self._entry_of(job)
        if entry is None:
            return Standing.ABSENT
        if not may_be_same(entry.call, fingerprint(job.record)) or self._is_stalled(entry):
            return Standing.LOST
        if self.again is not None and entry.reason == self.again and entry.state in (State.SKIPPED, State.REJECTED):
            return Standing.AGAIN
        if entry.state == State.CLAIMED or not entry.facts or entry.facts == facts(job.record):
            return Standing.RECORDED
        return Standing.CHANGED_LATE if entry.state == State.SUBMITTED else Standing.CHANGED

    def old_place(self, job: Job) -> CallKey | None:
        """Where the call was rejected before anybody knew when it ended."""
        if self._undated is None:
            rejected = self.records.entries(UNDATED, State.REJECTED)
            self._undated = {each.record_id: each.key for each in rejected if each.record_id is not None}
        key = self._undated.get(job.record.id)
        return key if key != job.key else None

    def without_a_call(self) -> Iterator[str]:
        """The ids of records of these days that no call has been asked for."""
        for n in range((self.last - self.first) // DAY + 1):
            day = (self.first + n * DAY).isoformat()
            if day not in self._unseen:
                self._day(day)
            yield from self._unseen[day].values()

    def _entry_of(self, job: Job) -> LedgerEntry | None:
        former = call_key(job.record, self.former) if self.former is not None else None
        found = self._own(job.key, job) or self._under_another_key(job)
        return found or (self._own(former, job) if former is not None else None)

    def _own(self, key: CallKey, job: Job) -> LedgerEntry | None:
        """The call's record, or its own where the call's is by another row."""
        entry = self._at(key)
        is_by_it = entry is not None and entry.record_id in (None, job.record.id)
        return entry if is_by_it else self._at(row_key(key, job.record.id))

    def _under_another_key(self, job: Job) -> LedgerEntry | None:
        """The same call of the same row, as a change of ``calls.pbx_call_id`` leaves it behind."""
        ended_at = time_of(str(job.record.values.get("ended_at")))
        if ended_at is None:
            return None
        ended_on = ended_at.date()
        call = fingerprint(job.record)
        for away in (0, -1, 1):
            day = (ended_on + away * DAY).isoformat()
            entry = self._day(day).get(self._names_of(day).get(job.record.id, ""))
            if entry is not None and call.strip(".") and entry.call == call:
                self._unseen[day].pop(entry.key.name, None)
                return entry
        return None

    def _names_of(self, day: str) -> Mapping[str, str]:
        """Record ids to names, of a day that is loaded."""
        if day not in self._names or day not in self._days:
            entries = self._day(day).values()
            self._names[day] = {each.record_id: each.key.name for each in entries if each.record_id is not None}
        return self._names[day]

    def _at(self, key: CallKey) -> LedgerEntry | None:
        if key.day == UNDATED:
            return self.records.entry(key)
        for away in (0, -1, 1):
            day = (date.fromisoformat(key.day) + away * DAY).isoformat()
            if (found := self._day(day).get(key.name)) is not None:
                self._unseen[day].pop(key.name, None)
                return found
        return None

    def _day(self, day: str) -> Mapping[str, LedgerEntry]:
        if day in self._days:
            self._days[day] = self._days.pop(day)  # used last
            return self._days[day]
        while len(self._days) >= DAYS_AT_ONCE:
            oldest = next(iter(self._days))
            del self._days[oldest]
            self._names.pop(oldest, None)
        entries = {entry.key.name: entry for entry in self.records.entries(day)}
        if day not in self._unseen:
            ours = ((name, each) for name, each in entries.items() if self._is_within(each))
            self._unseen[day] = {name: each.record_id for name, each in ours if each.record_id is not None}
            self.claims += sum(each.state == State.CLAIMED and not self._is_stalled(each) for each in entries.values())
        self._days[day] = entries
        return entries

    def _is_within(self, entry: LedgerEntry) -> bool:
        """Not a call that began on one of these days and ended later: it belongs to those of the later day."""
        return not entry.ended_on or entry.ended_on <= self.last.isoformat()

    def _is_stalled(self, entry: LedgerEntry) -> bool:
        until = entry.claimed_until
        return until is not None and (until < self.stalled_before or is_beyond_belief(until, self.now))
