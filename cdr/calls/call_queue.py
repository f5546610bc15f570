"""The queue between the phone system and the Call Logger."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from typing import Protocol

from cdr.calls.message import Letter


class CallQueue(Protocol):
    """A storage queue. Every method raises StorageUnavailable."""

    def send_all(self, letters: Iterable[Letter]) -> None:
        """Put all of them on the queue, never to expire. When it raises, any number of them may be there."""

    def send_later(self, letter: Letter, delay: timedelta) -> None:
        """Put one on the queue that nobody sees before the delay has passed."""

    def depth(self) -> int:
        """About how many messages there are, invisible ones included."""
