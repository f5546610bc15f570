"""What the watch over the source remembers from one poll to the next, and its text. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from cdr.intake.ports import Behind, Memory
from cdr.operations.call_hours import CallHours


class Kind(StrEnum):
    """What can be wrong with a source."""

    STARTED_AGAIN = "ids_started_again"
    BEYOND = "ids_below_position"
    ENDS_GONE = "ends_went_back"
    EMPTIED = "emptied"
    STANDS_STILL = "stands_still"
    VANISHED = "vanished"
    NAMED_ANEW = "calls_named_anew"
    NAMELESS = "rows_without_id"
    CAME_LATE = "rows_came_late"

    @property
    def hides_calls(self) -> bool:
        """Calls are surely not seen, or will not be, until a person acts."""
        return self in (Kind.STARTED_AGAIN, Kind.BEYOND, Kind.VANISHED)

    @property
    def is_told_once(self) -> bool:
        """It was a person's own doing."""
        return self is Kind.NAMED_ANEW


@dataclass(frozen=True, slots=True)
class Finding:
    """``detail`` is for people; they were told at ``told_at``. Times are aware and in UTC."""

    kind: Kind
    detail: str
    since: datetime
    told_at: datetime


@dataclass(frozen=True, slots=True)
class Remembered:
    """``newest_at`` is of the latest call that was ever seen at the source's end. ``ahead_since``: since then the phone
    system knows of a later call than the source has, as it said when it was asked, at ``asked_at``. ``named_by`` is the
    template of pbxCallId, None before the first look, and ``named_before`` the one before the last change.
    At ``counted_at`` there were ``nameless`` rows, and ``behind`` what had been passed; at ``late_at`` more of that was
    last seen to have come.
    """

    findings: tuple[Finding, ...] = ()
    hours: CallHours = field(default_factory=CallHours)
    newest_at: datetime | None = None
    ahead_since: datetime | None = None
    asked_at: datetime | None = None
    named_by: str | None = None
    named_before: str | None = None
    counted_at: datetime | None = None
    nameless: int = 0
    behind: Behind | None = None
    late_at: datetime | None = None

    def finding(self, kind: Kind) -> Finding | None:
        return next((found for found in self.findings if found.kind is kind), None)

    @classmethod
    def from_text(cls, text: Memory) -> Remembered:
        """Total: what is damaged, or of a version that knew other things, is forgotten."""
        try:
            kept = json.loads(text)
            return cls(
                findings=tuple(_finding(each) for each in kept["findings"]),
                hours=CallHours.from_text(kept["hours"]),
                newest_at=_moment(kept["newest_at"]),
                ahead_since=_moment(kept["ahead_since"]),
                asked_at=_moment(kept["asked_at"]),
                named_by=kept.get("named_by"),
                named_before=kept.get("named_before"),
                counted_at=_moment(kept.get("counted_at")),
                nameless=int(kept.get("nameless", 0)),
                behind=_behind(kept.get("behind")),
                late_at=_moment(kept.get("late_at")),
            )
        except (ValueError, TypeError, KeyError, RecursionError):
            return cls()

    def to_text(self) -> Memory:
        state = {
            "findings": [
                {"kind": found.kind, "detail": found.detail, "since": found.since, "told_at": found.told_at}
                for found in self.findings
            ],
            "hours": self.hours.to_text(),
            "newest_at": self.newest_at,
            "ahead_since": self.ahead_since,
            "asked_at": self.asked_at,
            "named_by": self.named_by,
            "named_before": self.named_before,
            "counted_at": self.counted_at,
            "nameless": self.nameless,
            "behind": self.behind,
            "late_at": self.late_at,
        }
        return json.dumps(state, separators=(",", ":"), default=datetime.isoformat)


def _finding(kept: Mapping[str, Any]) -> Finding:
    since, told_at = (datetime.fromisoformat(kept[name]) for name in ("since", "told_at"))
    return Finding(Kind(kept["kind"]), str(kept["detail"]), since, told_at)


def _behind(kept: Sequence[Any] | None) -> Behind | None:
    if kept is None:
        return None
    place, rows = kept
    return Behind(str(place), int(rows))


def _moment(kept: str | None) -> datetime | None:
    return datetime.fromisoformat(kept) if kept is not None else None
