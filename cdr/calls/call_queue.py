"""The queue between the phone system and the Call Logger."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Protocol


class CallQueue(Protocol):
    """A storage queue. Every method raises StorageUnavailable."""

    def send_all(self, messages: Sequence[str]) -> None:
        """Put all messages on the queue, never to expire. When it raises, any number of them may be there."""

    def send_later(self, message: str, delay: timedelta) -> None:
        """Put one message on the queue that nobody sees before the delay has passed."""

    def depth(self) -> int:
        """About how many messages there are, invisible ones included."""
