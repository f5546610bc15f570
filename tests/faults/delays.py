"""How long calls took from being read to being entered, by the clock of the functions."""

from __future__ import annotations

import math
import re
import threading
import time
from collections.abc import Collection, Iterator, Sequence

from cdr.calls.call import CallRecord
from cdr.calls.message import Message, letter_of, text_of_body

_TEXT = re.compile(rb"<MessageText>([^<]*)</MessageText>")


class Delays:
    """A call is read when it is first put on the queue. ``speed`` is how much faster the functions' clock runs."""

    def __init__(self, speed: float) -> None:
        self._speed = speed
        self._lock = threading.Lock()
        self._read: dict[str, float] = {}
        self._entered: dict[str, float] = {}

    def read(self, call: str) -> None:
        with self._lock:
            self._read.setdefault(call, time.monotonic())

    def entered(self, call: str) -> None:
        with self._lock:
            self._entered.setdefault(call, time.monotonic())

    def of(self, calls: Collection[str]) -> Sequence[float]:
        """In seconds; only of calls of which both is known."""
        with self._lock:
            both = [
                (self._read[call], self._entered[call])
                for call in calls
                if call in self._read.keys() & self._entered.keys()
            ]
        return [max(0.0, entered - read) * self._speed for read, entered in both]


def records_in(body: bytes) -> Iterator[CallRecord]:
    """What a request brings to the queue; none, where it is not a message of ours."""
    for text in _TEXT.findall(body):
        letter = letter_of(text_of_body(text))
        yield from letter.records if isinstance(letter, Message) else ()


def percentile(values: Sequence[float], share: float) -> float | None:
    """The least value that is not below so many of them."""
    return sorted(values)[math.ceil(share * len(values)) - 1] if values else None
