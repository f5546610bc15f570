"""How calls share messages on their way to the queue. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from cdr.calls.call import CallRecord
from cdr.calls.message import Message, bytes_of

MOST_BYTES = 48 * 1024 - 1024
"""Of a message: in Base64 a queue takes 64 KiB, and what the message will have been through needs room too."""


@dataclass(frozen=True, slots=True)
class Packing:
    """Few calls travel in a message each, so that all are worked on at the same time. More than ``side_by_side``, which
    is how many messages are, share so many evenly, up to ``most_calls`` in one."""

    side_by_side: int
    most_calls: int

    def pack(self, records: Sequence[CallRecord]) -> Iterator[Message]:
        """In their order."""
        together = min(self.most_calls, -(-len(records) // self.side_by_side))
        return (Message(some) for some in _in_turn(records, together))


def _in_turn(records: Iterable[CallRecord], most: int) -> Iterator[tuple[CallRecord, ...]]:
    """So many at a time, or as many as fit."""
    some: list[CallRecord] = []
    size = 0
    for record in records:
        more = bytes_of(record)
        if some and (len(some) == most or size + more > MOST_BYTES):
            yield tuple(some)
            some, size = [], 0
        some.append(record)
        size += more
    if some:
        yield tuple(some)
