"""What the parameters of a request say, as the values that use cases take."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from cdr.calls.call import Reason
from cdr.intake.ports import StartFrom
from cdr.operations.find_call import Wanted
from cdr.web.requests import BadRequest
from shared.config.phone_system import start_in, start_moment

LONGEST_RANGE = timedelta(days=31)
LONGEST_TEXT = 1_000
"""Nothing in the ledger has a longer name."""
FIRST_DAY, LAST_DAY = date(1970, 1, 1), date(2999, 12, 31)
"""Beyond these no call ended, and databases have no dates of their own any more."""


@dataclass(frozen=True, slots=True)
class Parameters:
    """Of the query and the JSON body together. Every method raises BadRequest for what is not of its kind."""

    given: Mapping[str, Any]

    def flag(self, name: str) -> bool:
        """False where it is not given."""
        text = str(self.given.get(name, "false")).lower()
        if text not in ("true", "false"):
            raise BadRequest(400, f"{name} must be true or false")
        return text == "true"

    def number(self, name: str, usual: int, largest: int) -> int:
        text = str(self.given.get(name, usual))
        if not (re.fullmatch("[0-9]{1,9}", text) and 1 <= int(text) <= largest):
            raise BadRequest(400, f"{name} must be a number from 1 to {largest}")
        return int(text)

    def text(self, name: str) -> str | None:
        value = self.given.get(name)
        if value is not None and not isinstance(value, str):
            raise BadRequest(400, f"{name} must be text")
        return None if value is None else _short(name, value)

    def reason(self, name: str) -> str | None:
        """A word of Reason."""
        word = self.text(name)
        if word is not None and word not in set(Reason):
            raise BadRequest(400, f"{name} must be a reason: {', '.join(sorted(Reason))}")
        return word

    def days(self) -> tuple[date, date]:
        """``from`` and ``to``, both included."""
        first, last = self._day("from"), self._day("to")
        if first < FIRST_DAY or last > LAST_DAY:
            raise BadRequest(400, f"from and to must be within {FIRST_DAY} and {LAST_DAY}")
        if last < first:
            raise BadRequest(400, "from is after to")
        if last - first >= LONGEST_RANGE:
            raise BadRequest(400, f"at most {LONGEST_RANGE.days} days at a time")
        return first, last

    def start(self, zone: str) -> StartFrom:
        """``from``; of a date without an offset that in the zone."""
        value = self.given.get("from")
        if isinstance(value, bool) or not isinstance(value, str | int):
            raise BadRequest(400, "from must be beginning, now, an id (rows after it) or a date such as 2026-11-01")
        try:
            start = start_in(str(value))
        except ValueError as exc:
            raise BadRequest(400, f"from {exc}") from exc
        return start_moment(start, zone) if isinstance(start, datetime) else start

    def replayed(self) -> tuple[str | None, str | None]:
        """``reason`` and ``call``; neither where ``all`` are wanted."""
        chosen = [name for name in ("all", "reason", "call") if self.given.get(name)]
        if len(chosen) != 1 or (chosen == ["all"] and not self.flag("all")):
            raise BadRequest(400, 'say which calls: {"all": true}, {"reason": "..."} or {"call": "..."}')
        return self.text("reason"), self.text("call")

    def wanted(self) -> Wanted:
        """``call``, ``row`` or ``extension``, with or without its ``day``."""
        texts = {name: str(self.given.get(name, "")).strip() for name in ("call", "row", "extension")}
        chosen = {name: _short(name, text) for name, text in texts.items() if text}
        if len(chosen) != 1:
            raise BadRequest(400, "say which calls: call, row or extension, and if you know it the day")
        day = self._day("day") if "day" in self.given else None
        if day is not None and not FIRST_DAY <= day <= LAST_DAY:
            raise BadRequest(400, f"day must be within {FIRST_DAY} and {LAST_DAY}")
        return Wanted(**chosen, day=day)

    def _day(self, name: str) -> date:
        try:
            return date.fromisoformat(str(self.given[name]))
        except (KeyError, ValueError):
            raise BadRequest(400, f"{name} must be a day such as 2026-11-01") from None


def _short(name: str, text: str) -> str:
    if len(text) > LONGEST_TEXT:
        raise BadRequest(400, f"{name} has {len(text)} characters, at most {LONGEST_TEXT} are taken")
    return text
