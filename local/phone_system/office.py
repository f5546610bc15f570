"""Who has a V20 phone system: the numbers in the house, and those outside whom it has to do with.

The outside numbers are from ranges that are kept for fiction.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Office:
    """``agents`` are the phones that a queue or ring group rings, for one that has its own; the others ring any."""

    phones: Sequence[str]
    colleague: str
    """Calls the others, and is called by nobody."""
    supervisor: str
    queues: Sequence[str]
    ring_groups: Sequence[str]
    empty_groups: Sequence[str]
    machines: Sequence[str]
    callers: Sequence[str]
    mobiles: Sequence[str]
    number: str
    """The one that callers from outside dial."""
    agents: Mapping[str, Sequence[str]] = field(default_factory=dict)

    def agents_of(self, group: str | None) -> Sequence[str]:
        return self.agents.get(group or "", self.phones)


LARGE_OFFICE = Office(
    phones=[str(number) for number in range(200, 216)],
    colleague="217",
    supervisor="216",
    queues=("700", "701", "702"),
    ring_groups=("720", "721"),
    empty_groups=("725", "726"),
    machines=("night.Flow", "750"),
    callers=("+19075550141", "+19075550142", "+491709990143", "anonymous", ""),
    mobiles=("+19075550177", "+19075550178"),
    number="+19075550100",
)
