"""A database that is connected to anew for each reading, so that a lost connection is replaced at the next.

The one door to every database: statements are only carried out here, so that none of those who read can forget to
translate what drivers raise, or to end a wait.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from sqlalchemy import Connection, Dialect, Engine, Executable
from sqlalchemy.engine import Result

from cdr.edges.sql.bounded import OutOfTime, within
from cdr.edges.sql.engines import make_engine
from cdr.edges.sql.errors import translated, translated_connecting
from cdr.edges.sql.timeouts import USUAL, Timeouts
from shared.config.phone_system import Database

HANDSHAKES = 3
"""Connecting takes several exchanges, each of which may take as long as a connection."""

TO_CLOSE_S = 2.0


class Connections:
    """Made when first used. Errors name the settings of the database and of its SELECT."""

    def __init__(self, database: Database, select_setting: str, timeouts: Timeouts = USUAL) -> None:
        self._database = database
        self._select_setting = select_setting
        self._timeouts = timeouts
        self._engine: Engine | None = None

    @contextmanager
    def open(self) -> Iterator[Session]:
        """:raises SourceUnavailable, SourceMisconfigured: also from each statement"""
        session = Session(self._connect(), self._database, self._select_setting, self._timeouts)
        try:
            yield session
        finally:
            session.close()

    def _connect(self) -> Connection:
        with translated_connecting(self._database.SETTING, self._select_setting):
            engine = self._engine = self._engine or make_engine(self._database, self._timeouts)
            longest = self._timeouts.connect_s * HANDSHAKES + self._timeouts.statement_s(self._database)
            return within(longest, engine.connect, _close)


def _close(connection: Connection | None) -> None:
    if connection is not None:
        connection.close()


class Session:
    """An open connection. Threads may use it one after the other."""

    def __init__(self, connection: Connection, database: Database, select_setting: str, timeouts: Timeouts) -> None:
        self._connection = connection
        self._database = database
        self._select_setting = select_setting
        self._timeouts = timeouts
        self._is_abandoned = False

    @property
    def dialect(self) -> Dialect:
        return self._connection.dialect

    def execute(self, query: Executable) -> Result[Any]:
        """The whole result, fetched.

        :raises Unconvertible: a driver cannot read a value of it
        :raises SourceUnavailable, SourceMisconfigured: it cannot be had
        """
        with translated(self._database.SETTING, self._select_setting):
            if self._is_abandoned:
                raise OutOfTime("an earlier statement is still without an answer")
            if self._database.engine == "sqlite":  # it has its own end, and threads take longer than most statements
                return self._fetched(query)
            try:
                longest = self._timeouts.statement_s(self._database)
                return within(longest, lambda: self._fetched(query), lambda _: self._connection.close())
            except OutOfTime:
                self._is_abandoned = True
                raise

    def _fetched(self, query: Executable) -> Result[Any]:
        return self._connection.execute(query).freeze()()

    def close(self) -> None:
        """Once: whatever it has to say is of no use any more. One that is still at work is closed when that ends."""
        if not self._is_abandoned:
            with suppress(Exception):
                within(TO_CLOSE_S, self._connection.close)
