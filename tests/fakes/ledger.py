"""A fake of the ledger, as the submission and as operators use it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from cdr.calls.call import CallKey, CallRecord, Job, Reason, Settlement, State
from cdr.calls.fingerprint import facts, fingerprint, may_be_same
from cdr.calls.leases import LONGEST_LEASE, is_beyond_belief
from cdr.calls.message import Letter, Message, letter_of
from cdr.calls.rules import extension_of, row_key
from cdr.operations.ports import (
    HourCount,
    KeptCall,
    LedgerCounts,
    LedgerEntry,
    RejectedCall,
    RejectedRecord,
    hours_until,
)
from cdr.submission.ports import AlreadySubmitted, Claim, ClaimAnswer, Held, RecordAnswer, Recorded
from tests.fakes.fake import LONG_AGO, Fake

MAX_MESSAGE_IN_LEDGER = 60_000
MAX_DETAIL = 2_000
REMOVED_AT_ONCE = 100


@dataclass(frozen=True)
class LedgerRecord:
    """What the ledger holds of one call; ``message`` is empty once nobody can need it any more."""

    state: State
    row_id: str | None
    message: str
    attempts: int = 0
    claimed_until: datetime = LONG_AGO
    reason: str = ""
    detail: str = ""
    entry_id: str | None = None
    last_error: str | None = None
    settled_at: datetime | None = None
    replayed_at: datetime | None = None
    extension: str | None = None
    call: str = field(default="", compare=False)
    facts: str = field(default="", compare=False)
    claimed_at: datetime = field(default=LONG_AGO, compare=False)
    first_claimed_at: datetime | None = field(default=None, compare=False)
    owner: str | None = field(default=None, compare=False)
    """The extension whose call it is."""
    ended_at: datetime | None = field(default=None, compare=False)
    in_hand: bool = field(default=False, compare=False)
    """Whether the last claim was neither given back nor settled, or one before it was not and it may have been sent."""

    @property
    def final(self) -> AlreadySubmitted | None:
        is_part = self.state is State.SKIPPED and self.reason == Reason.MERGED
        is_known = self.state is State.SUBMITTED or is_part
        return AlreadySubmitted(self.row_id, as_part=is_part) if is_known else None

    @property
    def unanswered_at(self) -> datetime | None:
        return self.claimed_at if self.state in (State.CLAIMED, State.REJECTED) and self.in_hand else None

    def held(self, now: datetime) -> Held | None:
        if self.state is not State.CLAIMED or self.claimed_until <= now:
            return None
        return Held(f"another worker has the call until {self.claimed_until:%H:%M:%S} UTC", self.claimed_until)


class InMemoryLedger(Fake):
    """A CallLedger and a LedgerRecords; ``records`` has what it knows of each call."""

    def __init__(self) -> None:
        super().__init__()
        self.records: dict[CallKey, LedgerRecord] = {}
        self.old = False
        """Whether there are records of earlier versions that are not taken in yet."""
        self._versions: Counter[CallKey] = Counter()

    def claim(self, jobs: Sequence[Job], now: datetime, lease: timedelta) -> Sequence[ClaimAnswer]:
        return [self._unless_elsewhere(job, self._claim(job, now, lease), now) for job in jobs]

    def _unless_elsewhere(self, job: Job, answer: ClaimAnswer, now: datetime) -> ClaimAnswer:
        others = [self._bounded(key, now) for key in job.key.around if key in self.records]
        for found in others if isinstance(answer, Claim) else ():
            if not may_be_same(found.call, fingerprint(job.record)):
                continue
            if found.final is not None:
                self._settle(answer, Settlement(State.SKIPPED, Reason.SAME_PBX_CALL_ID), now)
                return found.final
            if (held := found.held(now)) is not None:
                self._give_back(answer, held.why, now)
                return held
        return answer

    def _claim(self, job: Job, now: datetime, lease: timedelta) -> ClaimAnswer:
        key, row_id, message = job.key, job.record.id, Message((job.record,)).to_text()
        with self.operation("claim"):
            found = self._bounded(key, now) or LedgerRecord(State.CLAIMED, row_id, message)
            if found.final is not None:
                return found.final
            if (held := found.held(now)) is not None:
                return held
            self._set_aside(key, row_id, found)
            until, attempts = now + lease, found.attempts + 1
            told = _told(job.record)
            mine = replace(found, state=State.CLAIMED, row_id=row_id, message=message, attempts=attempts, **told)
            known = {"first_claimed_at": found.first_claimed_at or now, "ended_at": key.ended_at}
            mine = replace(mine, owner=extension_of(job.record), **known)
            version = self._write(key, replace(mine, claimed_until=until, in_hand=True, claimed_at=now))
            return Claim(key, row_id, version, attempts, found.unanswered_at and min(found.unanswered_at, now))

    def _bounded(self, key: CallKey, now: datetime) -> LedgerRecord | None:
        found = self.records.get(key)
        if found is not None and found.held(now) and is_beyond_belief(found.claimed_until, now):
            self.records[key] = replace(found, claimed_until=now + LONGEST_LEASE)
        return self.records.get(key)

    def settle(self, ends: Sequence[tuple[Claim, Settlement]], now: datetime) -> None:
        for claim, settlement in ends:
            self._settle(claim, settlement, now)

    def _settle(self, claim: Claim, settlement: Settlement, now: datetime) -> None:
        with self.operation("settle"):
            if settlement.state is State.SUBMITTED or self._is_current(claim):
                found = self.records.get(claim.key) or LedgerRecord(State.CLAIMED, None, "")
                ended = replace(found, row_id=claim.record_id, in_hand=claim.unanswered_at is not None)
                self._write(claim.key, _settled(ended, settlement, now))
            elif self.records[claim.key].row_id not in (None, claim.record_id):
                own = LedgerRecord(settlement.state, claim.record_id, "", claim.attempts)
                self._write(row_key(claim.key, claim.record_id), _settled(own, settlement, now))

    def give_back(self, claims: Sequence[tuple[Claim, str]], now: datetime) -> None:
        for claim, error in claims:
            self._give_back(claim, error, now)

    def _give_back(self, claim: Claim, error: str, now: datetime) -> None:
        with self.operation("give_back"):
            if self._is_current(claim):
                found = self.records[claim.key]
                given_back = replace(
                    found, claimed_until=now, in_hand=bool(claim.unanswered_at), last_error=error[:MAX_DETAIL]
                )
                self._write(claim.key, given_back)

    def record(self, key: CallKey, letter: Letter | None, settlement: Settlement, now: datetime) -> RecordAnswer:
        with self.operation("record"):
            found = self._bounded(key, now)
            if found is not None and found.final is not None:
                return found.final
            if found is not None and (held := found.held(now)) is not None:
                return held
            is_over = found is not None and found.state is State.REJECTED and settlement.reason != Reason.MERGED
            if letter is None and found is not None and found.unanswered_at and not is_over:
                return Held("it was sent without an answer, and only its own message finds out whether it is in")
            row_id = letter.records[0].id if isinstance(letter, Message) else found.row_id if found else None
            if found is not None:
                self._set_aside(key, row_id, found)
            text = letter.to_text()[:MAX_MESSAGE_IN_LEDGER] if letter else ""
            told = _told(letter.records[0]) if isinstance(letter, Message) else {}
            kept = replace(found or LedgerRecord(settlement.state, None, ""), message=text, row_id=row_id, **told)
            kept = replace(kept, ended_at=key.ended_at or kept.ended_at, in_hand=bool(found and found.unanswered_at))
            self._write(key, _settled(kept, settlement, now))
            return Recorded()

    def last_error(self, key: CallKey) -> str | None:
        with self.operation("last_error"):
            return self.records[key].last_error if key in self.records else None

    def _set_aside(self, key: CallKey, row_id: str | None, found: LedgerRecord) -> None:
        if found.row_id not in (None, row_id) and found.state in (State.SKIPPED, State.REJECTED):
            self._write(row_key(key, str(found.row_id)), found)

    def counts(self, now: datetime) -> LedgerCounts:
        with self.operation("counts"):
            ended = {key: record for key, record in self.records.items() if record.state is not State.CLAIMED}
        states = Counter(record.state for record in ended.values())
        reasons = Counter(record.reason for record in ended.values() if record.state is State.REJECTED)
        by_hour = Counter((_hour(record), record.state) for record in ended.values())
        hours = [
            HourCount(hour, *(by_hour[hour, state] for state in (State.SUBMITTED, State.SKIPPED, State.REJECTED)))
            for hour in hours_until(now)
        ]
        return LedgerCounts(states, reasons, hours)

    def are_all_noted(self) -> bool:
        return not self.old

    def sum_up(self, older_at: datetime | None, now: datetime, may_go_on: Callable[[], bool]) -> bool:
        with self.operation("sum_up"):
            self.old = self.old and not may_go_on()
        return not self.old

    def rejected(self, reason: str | None = None, after: str | None = None) -> Iterator[RejectedCall]:
        with self.operation("rejected"):
            found = [_rejected(key, record) for key, record in self.records.items() if record.state is State.REJECTED]
        ordered = sorted(found, key=lambda call: call.place)
        yield from (call for call in ordered if reason in (None, call.reason) and call.place > (after or ""))

    def rejected_as(self, name: str) -> Iterator[RejectedCall]:
        yield from (call for call in self.rejected() if call.key.name == name)

    def still_rejected(self, call: RejectedCall) -> RejectedRecord | None:
        with self.operation("still_rejected"):
            found = self.records.get(call.key)
            if found is None or found.state is not State.REJECTED or found.settled_at != call.settled_at:
                return None
            return RejectedRecord(_rejected(call.key, found), letter_of(found.message) if found.message else None)

    def mark_replayed(self, key: CallKey, now: datetime) -> None:
        with self.operation("mark_replayed"):
            found = self.records.get(key)
            if found is not None and found.state is State.REJECTED:
                self._write(key, replace(found, replayed_at=now))

    def entries(self, day: str, state: State | None = None) -> Iterator[LedgerEntry]:
        with self.operation("entries"):
            found = {key: one for key, one in self.records.items() if key.day == day and state in (None, one.state)}
        yield from (_entry(key, record) for key, record in found.items())

    def entry(self, key: CallKey) -> LedgerEntry | None:
        with self.operation("entry"):
            return _entry(key, self.records[key]) if key in self.records else None

    def named(self, day: str, name: str) -> Iterator[KeptCall]:
        yield from (
            kept for kept in self._kept(day) if kept.key.name == name or kept.key.name.startswith(f"{name} row-")
        )

    def of_row(self, day: str, record_id: str) -> Iterator[KeptCall]:
        yield from (kept for kept in self._kept(day) if kept.record_id == record_id)

    def of_extension(self, day: str, extension: str) -> Iterator[KeptCall]:
        yield from (kept for kept in self._kept(day) if kept.extension == extension)

    def _kept(self, day: str) -> Iterator[KeptCall]:
        with self.operation("kept"):
            found = {key: record for key, record in self.records.items() if key.day == day}
        for key, record in found.items():
            yield KeptCall(
                key,
                record.row_id,
                record.state,
                record.reason,
                record.detail,
                record.owner or record.extension,
                record.attempts,
                record.first_claimed_at,
                record.claimed_until if record.state is State.CLAIMED else None,
                record.settled_at,
                record.replayed_at,
                record.entry_id,
                record.last_error,
                letter_of(record.message) if record.message else None,
            )

    def remove_settled(self, before: datetime, rejected_before: datetime, now: datetime) -> Iterator[int]:
        def is_old(record: LedgerRecord) -> bool:
            limit = rejected_before if record.state is State.REJECTED else before
            return record.state is not State.CLAIMED and record.settled_at is not None and record.settled_at < limit

        while True:
            with self.operation("remove_settled"):
                old = [key for key, record in self.records.items() if is_old(record)][:REMOVED_AT_ONCE]
                for key in old:
                    del self.records[key]
            if not old:
                return
            yield len(old)

    def _is_current(self, claim: Claim) -> bool:
        return claim.version == str(self._versions[claim.key])

    def _write(self, key: CallKey, record: LedgerRecord) -> str:
        self.records[key] = record
        self._versions[key] += 1
        return str(self._versions[key])


def _told(record: CallRecord) -> dict[str, str]:
    return {"call": fingerprint(record), "facts": facts(record)}


def _rejected(key: CallKey, record: LedgerRecord) -> RejectedCall:
    settled_at = record.settled_at or LONG_AGO
    return RejectedCall(key, record.reason, record.detail, settled_at, record.replayed_at, record.extension)


def _hour(record: LedgerRecord) -> datetime:
    """Of its end, or where nobody knows it of its settlement."""
    moment = record.ended_at or record.settled_at or LONG_AGO
    return moment.replace(minute=0, second=0, microsecond=0)


def _entry(key: CallKey, record: LedgerRecord) -> LedgerEntry:
    until = record.claimed_until if record.state is State.CLAIMED else None
    ended_on = f"{record.ended_at:%Y-%m-%d}" if record.ended_at and record.state is not State.CLAIMED else ""
    return LedgerEntry(key, record.row_id, record.state, record.reason, record.call, record.facts, until, ended_on)


def _settled(record: LedgerRecord, settlement: Settlement, now: datetime) -> LedgerRecord:
    return replace(
        record,
        state=settlement.state,
        reason=settlement.reason,
        detail=settlement.detail[:MAX_DETAIL],
        entry_id=settlement.entry_id,
        extension=settlement.extension,
        message=record.message if settlement.state is State.REJECTED else "",
        settled_at=now,
        in_hand=record.in_hand and settlement.state is State.REJECTED and settlement.reason != Reason.REFUSED_BY_API,
    )
