"""One SQLAlchemy engine for each kind of database: how to connect, read only, encrypted, with a statement timeout."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from sqlalchemy import Engine, create_engine
from sqlalchemy.pool import NullPool

from cdr.edges.sql import mysql, postgresql, sqlite, sqlserver
from cdr.edges.sql.timeouts import Timeouts
from shared.config.phone_system import Database

_ENGINES: Mapping[str, tuple[str, Callable[[Database, Timeouts], Any]]] = {
    "sqlserver": ("mssql+pyodbc", sqlserver.connect),
    "mysql": ("mysql+pymysql", mysql.connect),
    "postgresql": ("postgresql+psycopg", postgresql.connect),
    "sqlite": ("sqlite", sqlite.connect),
}

STATEMENTS_KEPT = 50
"""Compiled. A poll has a dozen; those with lists of ids are long, and others each time that a list changes."""


def make_engine(database: Database, timeouts: Timeouts) -> Engine:
    """An engine that has not connected yet.

    A read-only reader has nothing to commit, and FreeTDS hides an error behind that of the rollback after it, so every
    statement stands alone (autocommit).
    """
    dialect, connect = _ENGINES[database.engine]
    engine = create_engine(
        f"{dialect}://",
        creator=lambda: connect(database, timeouts),
        poolclass=NullPool,
        pool_reset_on_return=None,
        isolation_level="AUTOCOMMIT",
        query_cache_size=STATEMENTS_KEPT,
    )
    if database.engine == "sqlite":
        sqlite.limit_statements(engine, database)
    return engine
