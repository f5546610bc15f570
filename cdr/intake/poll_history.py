"""How the last polls went, for people: kept beside the position, by the same write that gives the lease back."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Any

LONGEST = 20
"""Polls that are remembered."""

LONGEST_ERROR = 200
"""Of each but the last one, which has room for more."""
LONGEST_LAST_ERROR = 2_000


@dataclass(frozen=True, slots=True)
class PollReport:
    """How a poll went, for ``status``. Times are aware and in UTC."""

    at: datetime
    result: str
    queued: int = 0
    duration_ms: int = 0
    error: str | None = None

    @property
    def has_failed(self) -> bool:
        return self.error is not None


@dataclass(frozen=True, slots=True)
class PollHistory:
    """The newest poll first. ``since`` is when the unbroken run of polls began that all failed, or all did not, as the
    newest one; None: there was none."""

    polls: tuple[PollReport, ...] = ()
    since: datetime | None = None

    def after(self, poll: PollReport) -> PollHistory:
        """With one more."""
        goes_on = bool(self.polls) and self.polls[0].has_failed == poll.has_failed
        short = replace(poll, error=poll.error[:LONGEST_ERROR] if poll.error else poll.error)
        return PollHistory((short, *self.polls)[:LONGEST], self.since if goes_on else poll.at)

    def to_text(self) -> str:
        kept = {"since": self.since, "polls": [asdict(poll) for poll in self.polls]}
        return json.dumps(kept, default=datetime.isoformat, separators=(",", ":"))

    @classmethod
    def from_text(cls, text: Any) -> PollHistory:
        """What is damaged says no more than what is not there."""
        try:
            kept = json.loads(text)
            polls = tuple(poll_report_of(poll) for poll in kept["polls"])
            return cls(polls, datetime.fromisoformat(kept["since"]) if polls else None)
        except (TypeError, ValueError, KeyError, RecursionError):
            return cls()


NO_POLLS = PollHistory()


def poll_report_of(fields: Mapping[str, Any]) -> PollReport:
    """What this version knows of a report.

    :raises TypeError, ValueError, KeyError: it is damaged
    """
    return PollReport(
        datetime.fromisoformat(fields["at"]),
        str(fields["result"]),
        int(fields["queued"]),
        int(fields["duration_ms"]),
        fields.get("error"),
    )
