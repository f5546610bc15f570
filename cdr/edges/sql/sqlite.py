"""An SQLite file."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, event

from cdr.calls.times import time_of
from cdr.edges.sql.timeouts import Timeouts
from shared.config.phone_system import Database

STEPS_BETWEEN_LOOKS = 10_000


def connect(database: Database, _timeouts: Timeouts) -> Any:
    import sqlite3

    file = Path(database.database).resolve()
    if file.is_dir():  # of which the library says that the disk fails
        raise sqlite3.OperationalError("unable to open database file: it is a folder")
    uri = f"{file.as_uri()}?mode=ro"
    connection = sqlite3.connect(uri, uri=True, timeout=database.statement_timeout_seconds, check_same_thread=False)
    # Bytes that are no UTF-8 must not hold up the rows around them.
    connection.text_factory = lambda raw: raw.decode("utf-8", "replace")
    connection.create_function("as_iso", 1, _as_iso, deterministic=True)
    return connection


def _as_iso(written: bytes | None) -> str | None:
    """For what SQLite's own functions cannot read, such as 30.04.2026 06:35; what is no time stays as it is written.

    It comes as bytes: SQLite's text may be no UTF-8, over which the driver would fail before this is called.
    """
    text = written.decode("utf-8", "replace") if written is not None else None
    moment = time_of(text) if text else None
    return text if moment is None else moment.isoformat(" ")


def limit_statements(engine: Engine, database: Database) -> None:
    @event.listens_for(engine, "before_cursor_execute")
    def limit(connection: Any, *_: Any) -> None:
        ends = time.monotonic() + database.statement_timeout_seconds
        connection.connection.dbapi_connection.set_progress_handler(
            lambda: time.monotonic() > ends, STEPS_BETWEEN_LOOKS
        )
