"""The ledger in Table Storage: one entity for each call, claimed by insert and settled by update."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import groupby
from typing import Any
from uuid import uuid4

from cdr.calls.call import CallKey, Job, Reason, Settlement, State
from cdr.calls.fingerprint import facts, fingerprint, may_be_same
from cdr.calls.message import Letter, Message
from cdr.calls.rules import extension_of, row_key
from cdr.edges.storage.account import StorageAccount
from cdr.edges.storage.table import PIECE, Table, escape_key, in_pieces, version_of
from cdr.submission.ports import AlreadySubmitted, Claim, ClaimAnswer, Held, RecordAnswer, Recorded
from shared.errors import StorageUnavailable

ROW_PIECES = 2
TRIES_AGAINST_OTHERS = 5
MAX_DETAIL = 2_000
ONE_TRANSACTION = 100


class TableCallLedger:
    """A CallLedger on a table, which is created if it is missing."""

    def __init__(self, account: StorageAccount, table: str) -> None:
        self._table = Table(account, table)

    def claim(self, jobs: Sequence[Job], now: datetime, lease: timedelta) -> Sequence[ClaimAnswer]:
        """In one request where all are new and of one day; one by one where that is refused."""
        wishes = [_Wish(job, now, now + lease) for job in jobs]
        answers: list[ClaimAnswer] = []
        for _, together in groupby(wishes, key=lambda wish: wish.job.key.day):
            answers += self._claim_together(list(together))
        return [self._unless_elsewhere(wish, answer) for wish, answer in zip(wishes, answers, strict=True)]

    def _unless_elsewhere(self, wish: _Wish, answer: ClaimAnswer) -> ClaimAnswer:
        """A call may stand under another day too, where its end was corrected over midnight, or by a worker that goes
        by another time zone. Asked after the claim is made, so that of two who do so at once one sees the other."""
        if not isinstance(answer, Claim):
            return answer
        for key in answer.key.around:
            found = self._table.read(*_address(key).values())
            if found is None or not may_be_same(found.get("call") or "", fingerprint(wish.job.record)):
                continue
            if (final := _final(found)) is not None:
                moved = Settlement(State.SKIPPED, Reason.SAME_PBX_CALL_ID, f"submitted before, as a call of {key.day}")
                self.settle(answer, moved, wish.now)
                return final
            if (held := _held(found, wish.now)) is not None:
                self.give_back(answer, f"{held.why}, as one of {key.day}", wish.now)
                return held
        return answer

    def _claim_together(self, wishes: Sequence[_Wish]) -> Sequence[ClaimAnswer]:
        if 1 < len({wish.job.key for wish in wishes}) == len(wishes) <= ONE_TRANSACTION:
            versions = self._table.insert_all([wish.as_new for wish in wishes])
            if versions is not None:
                return [wish.granted(version, 1) for wish, version in zip(wishes, versions, strict=True)]
        return [self._claim_one(wish) for wish in wishes]

    def _claim_one(self, wish: _Wish) -> ClaimAnswer:
        version = self._table.insert(wish.as_new)
        return wish.granted(version, 1) if version is not None else self._claim_again(wish)

    def _claim_again(self, wish: _Wish) -> ClaimAnswer:
        found: Any = self._table.read(*_address(wish.job.key).values())
        if found is None:
            return Held("the ledger's record vanished between two looks at it")
        if found.get("owner") == wish.owner:  # our own write, whose first answer was lost
            return wish.granted(version_of(found), found["attempts"])
        if (final := _final(found)) is not None:
            return final
        if (held := _held(found, wish.now)) is not None:
            return held
        self._set_aside(wish.job.key, wish.job.record.id, found)
        attempts = found.get("attempts", 0) + 1
        version = self._table.merge({**wish.fields, "attempts": attempts}, version_of(found))
        if version is None:
            return Held("another worker claimed the call at the same moment")
        unanswered_at = found.get("claimed_at") if _is_unanswered(found) else None
        return wish.granted(version, attempts, found.get("last_error"), unanswered_at)

    def _set_aside(self, key: CallKey, record_id: str | None, found: Mapping[str, Any]) -> None:
        """Another row's record of this call, if it says why that row is not logged, goes on under the row's own key."""
        other = found.get("row_id")
        is_others = record_id is not None and other not in (None, "", record_id)
        if is_others and found["state"] in (State.SKIPPED, State.REJECTED):
            self._table.put({**found, **_address(row_key(key, str(other)))})

    def settle(self, claim: Claim, settlement: Settlement, now: datetime) -> None:
        fields = {**_address(claim.key), **_settled(settlement, now)}
        if settlement.state is State.SUBMITTED:
            self._table.put({**fields, "row_id": claim.record_id})
        elif self._merge_while_ours(claim, fields) not in (None, "", claim.record_id):
            # Another row of the same call has it now, and speaks for itself only.
            own = _address(row_key(claim.key, claim.record_id))
            self._table.put({**fields, **own, "row_id": claim.record_id, "attempts": claim.attempts})

    def give_back(self, claim: Claim, error: str, now: datetime) -> None:
        freed = {"owner": "", "claimed_until": now, "maybe_sent": claim.unanswered_at is not None}
        self._merge_while_ours(claim, {**_address(claim.key), **freed, "last_error": error[:MAX_DETAIL]})

    def _merge_while_ours(self, claim: Claim, fields: Mapping[str, Any]) -> str | None:
        """A write that is refused does not say yet that the claim is lost: storage may refuse what nobody has changed.
        Each claim has its own number of attempts, so a look at the record tells.

        :returns: where the claim is lost, the id of the row that the record is of now
        """
        version = claim.version
        for _ in range(TRIES_AGAINST_OTHERS):
            if self._table.merge(fields, version) is not None:
                return None
            found = self._table.read(*_address(claim.key).values())
            if found is None:  # removed under us, perhaps with the whole table: then this is all that is known
                known = {**fields, "attempts": claim.attempts, "row_id": claim.record_id}
                if "state" not in fields or self._table.insert(known) is not None:
                    return None
                continue
            if found["state"] != State.CLAIMED or found.get("attempts") != claim.attempts:
                return str(found.get("row_id") or "")  # somebody else has it by now, and sees to it
            version = version_of(found)
        raise StorageUnavailable(f"table {self._table.name}: the record of {claim.key.name} kept changing under us")

    def record(self, key: CallKey, letter: Letter | None, settlement: Settlement, now: datetime) -> RecordAnswer:
        record = letter.records[0] if isinstance(letter, Message) else None
        told = {"row_id": record.id, "call": fingerprint(record), "facts": facts(record)} if record else {}
        text = letter.to_text()[: ROW_PIECES * PIECE] if letter is not None else ""
        fields = {
            **_address(key),
            **in_pieces("row", text, ROW_PIECES),
            **_settled(settlement, now),
            "owner": uuid4().hex,
            **told,
        }
        for _ in range(TRIES_AGAINST_OTHERS):
            found = self._table.read(*_address(key).values())
            if found is None:
                if self._table.insert({**fields, "attempts": 0}) is not None:
                    return Recorded()
                continue
            if (final := _final(found)) is not None:
                return final
            if (held := _held(found, now)) is not None:
                return held
            if letter is None and _is_unanswered(found):
                return Held("it was sent without an answer, and only its own message finds out whether it is in")
            self._set_aside(key, fields.get("row_id"), found)
            if self._table.merge(fields, version_of(found)) is not None:
                return Recorded()
        raise StorageUnavailable(f"table {self._table.name}: the record of {key.name} kept changing under us")

    def last_error(self, key: CallKey) -> str | None:
        found = self._table.read(*_address(key).values())
        return found.get("last_error") if found is not None else None


@dataclass(frozen=True)
class _Wish:
    """A claim that is asked for; its owner is named by chance, so that it knows its own trace."""

    job: Job
    now: datetime
    until: datetime
    owner: str = field(default_factory=lambda: uuid4().hex)

    @property
    def fields(self) -> Mapping[str, Any]:
        return {
            **_address(self.job.key),
            "state": State.CLAIMED.value,
            "owner": self.owner,
            "row_id": self.job.record.id,
            "call": fingerprint(self.job.record),
            "facts": facts(self.job.record),
            "owner_extension": extension_of(self.job.record) or "",
            "claimed_at": self.now,
            "claimed_until": self.until,
            **in_pieces("row", Message((self.job.record,)).to_text(), ROW_PIECES),
        }

    @property
    def as_new(self) -> Mapping[str, Any]:
        return {**self.fields, "first_claimed_at": self.now, "attempts": 1}

    def granted(
        self, version: str, attempts: int, last_error: str | None = None, unanswered_at: datetime | None = None
    ) -> Claim:
        job = self.job
        return Claim(job.key, job.record.id, version, self.until, attempts, last_error, unanswered_at)


def _final(found: Mapping[str, Any]) -> AlreadySubmitted | None:
    """Whether the call is at the API, as itself or as a part of another one: nothing can change about it any more."""
    is_part = found["state"] == State.SKIPPED and found.get("reason") == Reason.MERGED
    if found["state"] != State.SUBMITTED and not is_part:
        return None
    return AlreadySubmitted(found.get("row_id") or None, as_part=is_part)


def _is_unanswered(found: Mapping[str, Any]) -> bool:
    """Whether it may have been sent: a claim that was neither settled nor given back, or one that was given back after
    such a one."""
    return found["state"] == State.CLAIMED and bool(found.get("owner") or found.get("maybe_sent"))


def _held(found: Mapping[str, Any], now: datetime) -> Held | None:
    """Whether a worker has the call: nobody else writes to its record until that is over."""
    if found["state"] != State.CLAIMED or found["claimed_until"] <= now:
        return None
    until = found["claimed_until"]
    return Held(f"another worker has the call until {until:%H:%M:%S} UTC", until)


def _address(key: CallKey) -> dict[str, str]:
    return {"PartitionKey": key.day, "RowKey": escape_key(key.name)}


def _settled(settlement: Settlement, now: datetime) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "state": settlement.state.value,
        "reason": settlement.reason.value,
        "detail": settlement.detail[:MAX_DETAIL],
        "settled_at": now,
        "entry_id": settlement.entry_id or "",
        "extension": settlement.extension or "",
    }
    # Only a rejected call's row can still be needed, for a replay.
    return fields if settlement.state is State.REJECTED else {**fields, **in_pieces("row", "", ROW_PIECES)}
