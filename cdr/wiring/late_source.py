"""A phone system whose files are read when it is first connected to."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field

from cdr.intake.ports import CallReader, CallSource, Position, Progress


@dataclass
class LateSource:
    """A CallSource. What is wrong with its files is said where every other failure of a source is said, by whoever
    connects, and the next one looks again."""

    name: str
    make: Callable[[], CallSource]
    _made: CallSource | None = field(default=None, init=False)

    def connect(self) -> AbstractContextManager[CallReader]:
        return self._source().connect()

    def progress(self, position: Position) -> Progress:
        return self._source().progress(position)

    def _source(self) -> CallSource:
        if self._made is None:
            self._made = self.make()
        return self._made
