"""Calls in a database, whatever their tables: what is read from them, and how, is the reader's business."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Generic, TypeVar

from cdr.edges.sql.connections import Connections, Session
from cdr.edges.sql.tables import facts_of
from cdr.edges.sql.timeouts import USUAL, Timeouts
from cdr.intake.ports import CallReader, Position, Progress, SourceFacts
from shared.config.phone_system import Database

Reader = TypeVar("Reader", bound=CallReader)


class SqlSource(Generic[Reader]):
    """A CallSource. A connection lives for one poll, so a lost one is replaced at the next."""

    def __init__(
        self,
        name: str,
        database: Database,
        select_setting: str,
        reader_on: Callable[[Session], Reader],
        progress: Callable[[Position], Progress],
        *,
        timeouts: Timeouts = USUAL,
    ) -> None:
        """:param select_setting: that names the SELECT, for errors"""
        self.name = name
        self._database = database
        self._connections = Connections(database, select_setting, timeouts)
        self._reader_on = reader_on
        self._progress = progress

    @contextmanager
    def connect(self) -> Iterator[Reader]:
        with self._connections.open() as session:
            yield self._reader_on(session)

    def progress(self, position: Position) -> Progress:
        return self._progress(position)

    def about(self) -> SourceFacts:
        return facts_of(self._connections, self._database)
