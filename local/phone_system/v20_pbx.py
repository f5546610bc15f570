"""A simulator of a V20 phone system: it writes the legs of calls into an SQLite file, each when it has ended."""

from __future__ import annotations

import heapq
import itertools
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

from local.phone_system.cut import cut_off
from local.phone_system.programme import Programme
from local.phone_system.stage import Row
from local.phone_system.story import Moment, ending, story
from local.phone_system.v20 import PlayedCall
from local.phone_system.writer import Writer, utc_now

CALLS_PER_MINUTE = 15.0
OPENING_GAP_S = 1.5
LATE_EVERY = 4
LATE_BY_S = 6.0

TOGETHER = timedelta(milliseconds=50)
"""What ends so near to each other is written in one transaction, as the phone system does with the end of a call."""

_SIDE = ("entity_type", "dn_number", "dn_type", "participant_id", "participant_phone_number", "participant_is_incoming")
COLUMNS = (
    *("cdr_id", "call_history_id", "main_call_history_id"),
    *(f"{side}_{name}" for side in ("source", "destination") for name in _SIDE),
    *("base_cdr_id", "originating_cdr_id", "continued_in_cdr_id", "creation_method", "creation_forward_reason"),
    *("termination_reason", "termination_reason_details", "cdr_started_at", "cdr_answered_at", "cdr_ended_at"),
)
CREATE_LEGS = f"CREATE TABLE IF NOT EXISTS cdroutput ({', '.join(COLUMNS)})"
WRITE_LEG = f"INSERT INTO cdroutput VALUES ({', '.join('?' * len(COLUMNS))})"


@dataclass(frozen=True, slots=True)
class Told:
    """Something that has just happened in a call, of which the rows are written that can be.

    ``call`` is the id by which the functions know it, ``number`` the one for people.
    """

    call: str
    number: int
    what: str
    detail: str


@dataclass
class RunningCall:
    """A call that goes on. ``written`` are the ids of the legs whose rows are in the table."""

    number: int
    id: str
    legs: Sequence[Row]
    written: set[str] = field(default_factory=set)

    def told(self, moment: Moment) -> Told:
        return Told(self.id, self.number, moment.what, moment.detail)


@dataclass(frozen=True, slots=True, order=True)
class Due:
    """What happens next: a row is written, or something can be told. Of two things due at once the earlier-made one."""

    at: datetime
    turn: int
    call: RunningCall = field(compare=False)
    what: Row | Moment = field(compare=False)


class V20Pbx(Writer):
    """Writes into `file`, which gets a table cdroutput if it has none. Times are naive UTC text with milliseconds.

    `pace` stretches all seconds (0.01: a hundred times as fast).
    """

    def __init__(
        self,
        file: Path | str,
        *,
        rng: Random,
        now: Callable[[], datetime] = utc_now,
        pace: float = 1.0,
        on_event: Callable[[Told], None],
    ) -> None:
        super().__init__(file, CREATE_LEGS, rng=rng, pace=pace, opening_gap_s=OPENING_GAP_S)
        self._programme = Programme(rng, pace)
        self._now = now
        self._on_event = on_event
        self._agenda: list[Due] = []
        self._turns = itertools.count()
        self._begun = 0

    def begin(self, played: PlayedCall) -> None:
        """Let this call happen, as it was played."""
        self._begun += 1
        call = RunningCall(self._begun, played.id, played.rows)
        beginning, *moments = story(played.rows)
        self._on_event(call.told(beginning))
        for moment in moments:
            self._plan(moment.at, call, moment)
        late = _late_leg(played.rows) if call.number % LATE_EVERY == 0 else None
        for leg in played.rows:
            if leg is late:
                self._plan_late(leg, call)
            else:
                self._plan(leg["cdr_ended_at"], call, leg)

    def catch_up(self) -> None:
        """Do all that is due by now."""
        now = self._now()
        due: list[Due] = []
        if self._agenda and self._agenda[0].at <= now:
            until = now + TOGETHER
            while self._agenda and self._agenda[0].at <= until:
                due.append(heapq.heappop(self._agenda))
        self._write([(each.call, each.what) for each in due if isinstance(each.what, dict)])
        for each in due:
            if isinstance(each.what, Moment):
                self._on_event(each.call.told(each.what))

    def hang_up_all(self) -> None:
        """End every call that goes on."""
        self.catch_up()
        end = self._now() + TOGETHER  # later than all that is written
        running = {due.call.number: due.call for due in self._agenda}
        over = {number for number, call in running.items() if not self._has_to_end(call)}
        self._agenda.clear()
        for number, call in running.items():
            legs = call.legs if number in over else cut_off(call.legs, end)
            self._write([(call, leg) for leg in legs if leg["cdr_id"] not in call.written])
            if number not in over:
                self._on_event(call.told(ending(legs)))

    def run(self, stop: threading.Event, *, calls_per_minute: float = CALLS_PER_MINUTE) -> None:
        """Let calls come and go until `stop` is set, then hang up on those still running."""
        next_begin = self._now()
        try:
            while not stop.wait(self._seconds_until(min([next_begin, *(due.at for due in self._agenda[:1])]))):
                self.catch_up()
                if next_begin <= self._now():
                    self.begin(self._programme.next_call(self._now()))
                    next_begin = self._now() + timedelta(seconds=self._gap_s(self._begun, calls_per_minute))
        finally:
            self.hang_up_all()

    def _plan(self, at: datetime, call: RunningCall, what: Row | Moment) -> None:
        heapq.heappush(self._agenda, Due(at, next(self._turns), call, what))

    def _plan_late(self, leg: Row, call: RunningCall) -> None:
        delay = timedelta(seconds=LATE_BY_S * self._pace)
        at = max(each["cdr_ended_at"] for each in call.legs) + delay
        self._plan(at, call, leg)
        self._plan(at, call, Moment(at, "late row", f"a leg comes into cdroutput {delay.total_seconds():g} s late"))

    def _has_to_end(self, call: RunningCall) -> bool:
        return any(
            due.call is call and isinstance(due.what, Moment) and due.what.what == "ends" for due in self._agenda
        )

    def _write(self, rows: Sequence[tuple[RunningCall, Row]]) -> None:
        if not rows:
            return
        self._database.execute("BEGIN")
        for call, leg in rows:
            self._database.execute(WRITE_LEG, [_value(leg[name]) for name in COLUMNS])
            call.written.add(leg["cdr_id"])
        self._database.execute("COMMIT")

    def _seconds_until(self, moment: datetime) -> float:
        return max(0.0, (moment - self._now()).total_seconds())


def _late_leg(legs: Sequence[Row]) -> Row | None:
    """One that another leg goes on in, so that it is missed until it is there."""
    named = {leg["continued_in_cdr_id"] for leg in legs}
    return next((leg for leg in reversed(legs) if leg["cdr_id"] in named), None)


def _value(value: Any) -> str | int | None:
    if isinstance(value, datetime):
        return value.astimezone(UTC).replace(tzinfo=None).isoformat(" ", "milliseconds")
    return value if value is None or isinstance(value, int) else str(value)
