"""A database that is connected to anew for each reading, so that a lost connection is replaced at the next."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Connection, Engine

from cdr.edges.sql.engines import make_engine
from cdr.edges.sql.errors import translated
from shared.config.phone_system import Database


class Connections:
    """Made when first used. Errors name the settings of the database and of its SELECT."""

    def __init__(self, database: Database, select_setting: str) -> None:
        self._database = database
        self._select_setting = select_setting
        self._engine: Engine | None = None

    @contextmanager
    def open(self) -> Iterator[Connection]:
        """:raises SourceUnavailable, SourceMisconfigured: also of what is done within"""
        with translated(self._database.SETTING, self._select_setting):
            if self._engine is None:
                self._engine = make_engine(self._database)
            connection = self._engine.connect()
            try:
                yield connection
            finally:
                connection.close()
