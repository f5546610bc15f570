"""A fake of the call queue."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from cdr.calls.message import Letter, letter_of
from shared.clock import Clock
from shared.errors import StorageUnavailable
from tests.fakes.fake import Fake

MAX_MESSAGE_BYTES = 49_152
LONGEST_DELAY = timedelta(days=7)


@dataclass(frozen=True)
class QueuedMessage:
    """A message that the fake of a queue holds."""

    text: str
    visible_at: datetime


class InMemoryCallQueue(Fake):
    """A CallQueue. Each message that is put on it is an operation of its own, so it can fail halfway."""

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self.messages: list[QueuedMessage] = []
        self._clock = clock

    @property
    def texts(self) -> list[str]:
        """Every message's text, in the order in which they came, invisible ones included."""
        return [message.text for message in self.messages]

    @property
    def letters(self) -> list[Letter]:
        """The same, read."""
        return [letter_of(text) for text in self.texts]

    @property
    def visible(self) -> list[str]:
        """The texts that a receiver would get now."""
        return [message.text for message in self._visible]

    @property
    def _visible(self) -> list[QueuedMessage]:
        return [message for message in self.messages if message.visible_at <= self._clock.now()]

    def take(self) -> Letter:
        """Receive and delete the first visible message.

        :raises IndexError: there is none
        """
        taken = self._visible[0]
        self.messages.remove(taken)
        return letter_of(taken.text)

    def send_all(self, letters: Iterable[Letter]) -> None:
        for letter in letters:
            self._put(letter, timedelta())

    def send_later(self, letter: Letter, delay: timedelta) -> None:
        self._put(letter, delay)

    def depth(self) -> int:
        with self.operation("depth"):
            return len(self.messages)

    def _put(self, letter: Letter, delay: timedelta) -> None:
        text = letter.to_text()
        with self.operation("put"):
            if len(text.encode()) > MAX_MESSAGE_BYTES or not timedelta() <= delay <= LONGEST_DELAY:
                raise StorageUnavailable("the message is too long, or its delay")
            self.messages.append(QueuedMessage(text, self._clock.now() + delay))
