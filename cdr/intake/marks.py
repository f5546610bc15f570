"""Marks of calls that were queued, by the hour in which each ended, so that they can be forgotten again. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from cdr.intake.time_position import mark_of

MOST_MARKS = 15_000

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_HOUR = timedelta(hours=1)
_LENGTH = len(mark_of("", None))

Hour = int
"""Since 1970."""


@dataclass(frozen=True, slots=True)
class Marks:
    """Beyond a number of them the oldest are forgotten: then a call is queued once more, which the ledger absorbs."""

    by_hour: Mapping[Hour, frozenset[str]] = field(default_factory=dict)

    def __contains__(self, mark: str) -> bool:
        return any(mark in marks for marks in self.by_hour.values())

    def with_more(self, marks: Collection[str], ended_at: datetime) -> Marks:
        hour = (ended_at - _EPOCH) // _HOUR
        left = MOST_MARKS
        kept: dict[Hour, frozenset[str]] = {}
        more = {**self.by_hour, hour: self.by_hour.get(hour, frozenset()) | frozenset(marks)}
        for each in sorted(more, reverse=True):
            left -= len(more[each])
            if left < 0 and kept:
                break
            kept[each] = more[each]
        return Marks(kept)

    def since(self, moment: datetime) -> Marks:
        """Those of calls that ended in the hour of this moment, or later."""
        first = (moment - _EPOCH) // _HOUR
        return Marks({hour: marks for hour, marks in self.by_hour.items() if hour >= first})

    def to_json(self) -> dict[str, str]:
        return {str(hour): "".join(sorted(marks)) for hour, marks in sorted(self.by_hour.items())}


def marks_in(state: Mapping[str, str]) -> Marks:
    """What ``to_json`` wrote."""
    return Marks({int(hour): _apart(text) for hour, text in state.items()})


def _apart(text: str) -> frozenset[str]:
    return frozenset(text[start : start + _LENGTH] for start in range(0, len(text), _LENGTH))
