"""Use case: which calls were rejected, and why?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from cdr.calls.message import Letter
from cdr.operations.ports import LedgerRecords, RejectedCall


@dataclass(frozen=True, slots=True)
class RejectedEntry:
    """A rejected call with its message; None: it was settled since."""

    call: RejectedCall
    letter: Letter | None


@dataclass(frozen=True, slots=True)
class RejectedPage:
    """``next`` is where the next page starts; None on the last one."""

    calls: Sequence[RejectedEntry]
    next: str | None


def list_rejected(records: LedgerRecords, *, after: str | None, limit: int) -> RejectedPage:
    """Rejected calls, the newest rejection first."""
    ordered = sorted(records.rejected(), key=_place, reverse=True)
    left = [rejected for rejected in ordered if after is None or _place(rejected) < after]
    page = left[:limit]
    more = _place(page[-1]) if len(left) > limit else None
    return RejectedPage([RejectedEntry(rejected, records.letter(rejected.key)) for rejected in page], more)


def _place(rejected: RejectedCall) -> str:
    return f"{rejected.settled_at:%Y-%m-%dT%H:%M:%S.%fZ} {rejected.key.day} {rejected.key.name}"
