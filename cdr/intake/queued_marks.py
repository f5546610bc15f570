"""Marks of what was queued, by the hour in which each call ended, so that they can be forgotten again. Pure."""

from __future__ import annotations

from base64 import urlsafe_b64encode
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from hashlib import blake2b

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_HOUR = timedelta(hours=1)

Hour = int
"""Since 1970."""


@lru_cache(maxsize=4_096)  # each poll comes by what ended in the last minutes again
def mark_of(flow: str, main_flow: str | None) -> str:
    """Stands for a flow and what it was joined to: it is another one when it is joined to something later."""
    text = flow if main_flow in (None, flow) else f"{flow}>{main_flow}"
    return urlsafe_b64encode(blake2b(text.encode(), digest_size=9).digest()).decode()


def mark_of_given_up(call: str) -> str:
    """Stands for a call that was given up: should it become whole after all, it is queued as if it had not been."""
    return mark_of(call, "given up")


@dataclass(frozen=True, slots=True)
class Marks:
    """Grouped by the hour in which their calls ended."""

    by_hour: Mapping[Hour, frozenset[str]] = field(default_factory=dict)

    def __contains__(self, mark: str) -> bool:
        return any(mark in marks for marks in self.by_hour.values())

    def __len__(self) -> int:
        return sum(map(len, self.by_hour.values()))

    def with_more(self, marks: Collection[str], ended_at: datetime) -> Marks:
        hour = (ended_at - _EPOCH) // _HOUR
        return Marks({**self.by_hour, hour: self.by_hour.get(hour, frozenset()) | frozenset(marks)})

    def at_most(self, most: int) -> tuple[Marks, datetime | None]:
        """Those that are left without the oldest hours, where these are too many; the newest hour is left however many
        it has. And the end of the last hour that is left out (aware, UTC), if one is."""
        left_out, left, until = len(self) - most, dict(self.by_hour), None
        for hour in sorted(left)[:-1]:
            if left_out <= 0:
                break
            left_out -= len(left.pop(hour))
            until = _EPOCH + (hour + 1) * _HOUR
        return Marks(left), until

    def since(self, moment: datetime) -> Marks:
        """Those of calls that ended in the hour of this moment, or later."""
        first = (moment - _EPOCH) // _HOUR
        return Marks({hour: marks for hour, marks in self.by_hour.items() if hour >= first})

    def to_json(self) -> dict[str, str]:
        return {str(hour): "".join(sorted(marks)) for hour, marks in sorted(self.by_hour.items())}


def marks_in(state: Mapping[str, str]) -> Marks:
    """What ``to_json`` wrote."""
    return Marks({int(hour): _apart(text) for hour, text in state.items()})


_LENGTH = len(mark_of("", None))


def _apart(text: str) -> frozenset[str]:
    return frozenset(text[start : start + _LENGTH] for start in range(0, len(text), _LENGTH))
