"""The tally of a run: every call that ended must come out somewhere. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from local.phone_system.pbx import CallEvent
from local.phone_system.v20_pbx import Told

OUTCOMES = {
    "call.submitted": "submitted",
    "call.skipped": "skipped",
    "call.rejected": "rejected",
    "poison.kept": "rejected",
}
LAST_OF_ID = 4


@dataclass(frozen=True, slots=True)
class Backend:
    """What the Call Logger holds: how many entries, and the calls that it got more than once."""

    entries: int
    doubles: tuple[str, ...] = ()


@dataclass
class Tally:
    """What the phone system did, and what the functions say became of it.

    A call is known by the id that the functions' events have. Where each row is a call of its own, the parts of a
    transferred call count one by one.
    """

    numbers: dict[int | str, int] = field(default_factory=dict)
    """The calls that began, each with the number that it is shown by."""
    ended: set[int | str] = field(default_factory=set)
    queued: int = 0
    outcomes: dict[int | str, tuple[str, str]] = field(default_factory=dict)
    alerts: Counter[str] = field(default_factory=Counter)
    """How many alerts of call groups were raised, and how many resolved."""

    def note_phone(self, event: CallEvent | Told) -> None:
        call, number, what = _of_phone(event)
        if what in ("began", "begins"):
            self.numbers[call] = number
        elif what in ("ended", "ends"):
            self.ended.add(call)

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
    def waiting(self) -> list[str]:
        """The calls that ended and have not come out yet."""
        return sorted(map(self.shown, self.ended - self.outcomes.keys()), key=lambda shown: (len(shown), shown))

    def shown(self, call: int | str | None) -> str:
        """What a call is called in the terminal: by number, or by the end of a long id."""
        if call is None:
            return ""
        number = self.numbers.get(call, call)
        return f"…{number[-LAST_OF_ID:]}" if isinstance(number, str) else f"#{number}"

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
            yield f"calls that ended did not come out: {', '.join(self.waiting)}"
        accounted = entries + self.count("skipped") + self.count("rejected")
        if accounted != len(self.ended):
            yield f"{accounted} calls came out, {len(self.ended)} ended"


def _of_phone(event: CallEvent | Told) -> tuple[int | str, int, str]:
    """The call, the number that it is shown by, and what happens."""
    if isinstance(event, Told):
        return event.call, event.number, event.what
    return event.row_id, event.row_id, event.change
