"""A call's record as an entity of the ledger's table: what is written when, and what one that is there says. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from cdr.calls.call import CallKey, Job, Reason, Settlement, State
from cdr.calls.fingerprint import facts, fingerprint
from cdr.calls.leases import is_beyond_belief
from cdr.calls.message import Message
from cdr.calls.rules import extension_of
from cdr.edges.storage.ledger_reading import READ_BY
from cdr.edges.storage.ledger_tally import Label, label_of, reason_in
from cdr.edges.storage.table import escape_key, in_pieces, unescape_key, version_of
from cdr.edges.storage.transaction import Insert, Merge, Write
from cdr.operations.ports import RejectedCall
from cdr.submission.ports import AlreadySubmitted, Claim, ClaimAnswer, Held

if TYPE_CHECKING:
    from azure.data.tables import TableEntity

ROW_PIECES = 2
MAX_DETAIL = 2_000
JUDGED_BY = (
    *READ_BY,
    "reason",
    "row_id",
    "call",
    "attempts",
    "claimed_at",
    "claimed_until",
    "maybe_sent",
    "settled_at",
)
"""What a claim looks at."""

Found = Mapping[str, Any]
"""An entity of the ledger's, made sound."""


@dataclass(frozen=True)
class Wish:
    """A claim that is asked for; its owner is named by chance, so that it knows its own trace."""

    job: Job
    now: datetime
    until: datetime
    owner: str = field(default_factory=lambda: uuid4().hex)

    @property
    def fields(self) -> Mapping[str, Any]:
        return {
            **address(self.job.key),
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

    def over(self, found: TableEntity | None) -> Write:
        """What claims the call, whose record was found to be this (None: there is none)."""
        if found is None:
            return Insert(self.as_new)
        return Merge({**self.fields, "attempts": found["attempts"] + 1}, version_of(found))

    def answer_to(self, found: TableEntity) -> ClaimAnswer | None:
        """What the record says by itself; None: it can be claimed."""
        if found.get("owner") == self.owner:  # our own write, whose first answer was lost
            return self._granted(version_of(found), found["attempts"], found)
        return final_answer(found) or held_answer(found, self.now)

    def granted_over(self, found: Found | None, version: str) -> Claim:
        """Claimed; the record was this before (None: there was none)."""
        if found is None:
            return self.granted(version, 1)
        unanswered_at = min(found.get("claimed_at", self.now), self.now) if is_unanswered(found) else None
        claim = self._granted(version, found["attempts"] + 1, found)
        return replace(claim, unanswered_at=unanswered_at)

    def granted(self, version: str, attempts: int) -> Claim:
        return Claim(self.job.key, self.job.record.id, version, attempts)

    def _granted(self, version: str, attempts: int, found: Found) -> Claim:
        counted, settled_at = found.get("counted") or "", found.get("settled_at")
        return replace(self.granted(version, attempts), counted=counted, settled_before=settled_at)


def settling(claim: Claim, settlement: Settlement, now: datetime) -> Write:
    """What is written when a call has ended, while the claim is ours."""
    row = {"row_id": claim.record_id} if settlement.state is State.SUBMITTED else {}
    sent = {"maybe_sent": claim.unanswered_at is not None and leaves_open(settlement)}
    return Merge(
        {**address(claim.key), **settled_fields(claim.key, settlement, now, claim.counted), **row, **sent},
        claim.version,
    )


def leaves_open(settlement: Settlement) -> bool:
    """Whether a call that was sent without an answer may be in all the same."""
    return settlement.state is State.REJECTED and settlement.reason is not Reason.REFUSED_BY_API


def freeing(claim: Claim, error: str, now: datetime) -> Write:
    freed = {"owner": "", "claimed_until": now, "maybe_sent": claim.unanswered_at is not None}
    return Merge({**address(claim.key), **freed, "last_error": error[:MAX_DETAIL]}, claim.version)


def is_set_aside(found: Mapping[str, Any], record_id: str | None) -> bool:
    is_others = record_id is not None and found.get("row_id") not in (None, "", record_id)
    return is_others and found["state"] in (State.SKIPPED, State.REJECTED)


def final_answer(found: Mapping[str, Any]) -> AlreadySubmitted | None:
    """Whether the call is at the API, as itself or as a part of another one: nothing can change about it any more."""
    is_part = found["state"] == State.SKIPPED and found.get("reason") == Reason.MERGED
    if found["state"] != State.SUBMITTED and not is_part:
        return None
    return AlreadySubmitted(found.get("row_id") or None, as_part=is_part)


def is_unanswered(found: Mapping[str, Any]) -> bool:
    """Whether it may have been sent: a claim that was neither settled nor given back, or one that was given back after
    such a one, or given up."""
    if found["state"] == State.REJECTED:
        return bool(found.get("maybe_sent"))
    return found["state"] == State.CLAIMED and bool(found.get("owner") or found.get("maybe_sent"))


def held_answer(found: Mapping[str, Any], now: datetime) -> Held | None:
    """Whether a worker has the call: nobody else writes to its record until that is over."""
    if found["state"] != State.CLAIMED or found["claimed_until"] <= now:
        return None
    until = found["claimed_until"]
    return Held(f"another worker has the call until {until:%H:%M:%S} UTC", until)


def is_endless(found: Found, now: datetime) -> bool:
    """Whether it is a claim that nobody can have made as it stands there."""
    return found["state"] == State.CLAIMED and is_beyond_belief(found["claimed_until"], now)


def is_held_by(claim: Claim, found: Found) -> bool:
    """Whether nobody has claimed the call since: each claim has its own number of attempts."""
    return bool(found["state"] == State.CLAIMED and found["attempts"] == claim.attempts)


def counted_as(found: Found | None) -> Label:
    """None: there is no record."""
    return "" if found is None else found.get("counted") or ""


def rejected_call(found: Found) -> RejectedCall:
    return RejectedCall(
        CallKey(found["PartitionKey"], unescape_key(found["RowKey"])),
        found["reason"],
        found["detail"],
        found["settled_at"],
        found.get("replayed_at"),
        found.get("extension") or None,
    )


def noted(claim: Claim, settlement: Settlement, now: datetime) -> RejectedCall | None:
    """What is noted of the call before it is rejected; None: it is settled otherwise."""
    if settlement.state is not State.REJECTED:
        return None
    detail = settlement.detail[:MAX_DETAIL]
    return RejectedCall(claim.key, settlement.reason.value, detail, now, None, settlement.extension)


def noted_before(claim: Claim) -> RejectedCall | None:
    """Where it was rejected before: what was noted of it then, as far as it takes to forget it."""
    reason = reason_in(claim.counted)
    if not reason or claim.settled_before is None:
        return None
    return RejectedCall(claim.key, reason, "", claim.settled_before, None)


def is_same(one: RejectedCall, other: RejectedCall | None) -> bool:
    return other is not None and (one.place, one.reason) == (other.place, other.reason)


def address(key: CallKey) -> dict[str, str]:
    return {"PartitionKey": key.day, "RowKey": escape_key(key.name)}


def settled_fields(key: CallKey, settlement: Settlement, now: datetime, counted: Label) -> dict[str, Any]:
    """``counted``: as what the record was counted until now."""
    fields: dict[str, Any] = {
        "state": settlement.state.value,
        "reason": settlement.reason.value,
        "detail": settlement.detail[:MAX_DETAIL],
        "settled_at": now,
        "entry_id": settlement.entry_id or "",
        "extension": settlement.extension or "",
        "counted": label_of(key, settlement.state, settlement.reason, now, counted),
    }
    # Only a rejected call's row can still be needed, for a replay.
    return fields if settlement.state is State.REJECTED else {**fields, **in_pieces("row", "", ROW_PIECES)}
