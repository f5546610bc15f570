"""The tally of a run: every call that ended must come out somewhere. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from local.phone_system.pbx import CallEvent

OUTCOMES = {
    "call.submitted": "submitted",
    "call.skipped": "skipped",
    "call.rejected": "rejected",
    "poison.kept": "rejected",
}


@dataclass(frozen=True, slots=True)
class Backend:
    """What the Call Logger holds: how many entries, and the calls that it got more than once."""

    entries: int
    doubles: tuple[str, ...] = ()


@dataclass
class Tally:
    """What the phone system did, and what the functions say became of it.

    A call is known by the id of its row: the parts of a transferred call count one by one, as they do in the CDR table.
    """

    begun: int = 0
    ended: set[int] = field(default_factory=set)
    queued: int = 0
    outcomes: dict[int | str, tuple[str, str]] = field(default_factory=dict)
    alerts: Counter[str] = field(default_factory=Counter)
    """How many alerts of call groups were raised, and how many resolved."""

    def note_phone(self, event: CallEvent) -> None:
        if event.change == "began":
            self.begun += 1
        else:
            self.ended.add(event.row_id)

    def note(self, event: Mapping[str, Any]) -> None:
        """Take in one event line of the functions."""
        if event["event"] == "poll.finished":
            self.queued += event["queued"]
        elif event["event"] in ("alert.raised", "alert.resolved"):
            self.alerts[event["event"].removeprefix("alert.")] += 1
        elif outcome := OUTCOMES.get(event["event"]):
            call = event.get("row_id") or event.get("call", "")
            self.outcomes[call] = (outcome, str(event.get("reason", "gave_up")))

    @property
    def waiting(self) -> list[int]:
        """The calls that ended and have not come out yet."""
        return sorted(self.ended - self.outcomes.keys())

    def count(self, outcome: str) -> int:
        return self.reasons(outcome).total()

    def reasons(self, outcome: str) -> Counter[str]:
        return Counter(reason for kept, reason in self.outcomes.values() if kept == outcome)

    def mistakes(self, backend: Backend | None) -> Iterator[str]:
        """Why the run was no success. Without a backend of its own to look into, the functions' word is taken."""
        entries = backend.entries if backend else self.count("submitted")
        if not entries:
            yield "no call arrived at the Call Logger"
        if backend is None:
            return
        if backend.doubles:
            yield f"calls arrived more than once: {', '.join(backend.doubles)}"
        if self.waiting:
            yield f"calls that ended did not come out: {', '.join(f'#{row_id}' for row_id in self.waiting)}"
        accounted = entries + self.count("skipped") + self.count("rejected")
        if accounted != len(self.ended):
            yield f"{accounted} calls came out, {len(self.ended)} ended"
