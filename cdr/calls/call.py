"""The words of the domain, as values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Self


class Direction(StrEnum):
    INBOUND = "INBOUND"
    OUTBOUND = "OUTBOUND"


@dataclass(frozen=True, slots=True)
class CallRecord:
    """What a phone system tells of a finished call. ``id`` is unique within its source.

    ``values`` has the canonical columns as plain values. ``shortened`` has the full length of each text that was too
    long to travel whole.
    """

    id: str
    values: Mapping[str, Any]
    shortened: Mapping[str, int] = field(default_factory=dict)

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> Self:
        return cls(str(row["id"]), dict(row))
