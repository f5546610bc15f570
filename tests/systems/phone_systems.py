"""The databases that a phone system may keep its calls in: the twin of them all, and each real one."""

from __future__ import annotations

import sqlite3
from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import Any

from cdr.calls.call import RawRow
from cdr.edges.sql.row_table import SqlCdrSource, read_schema
from cdr.intake.ports import CdrSource
from shared.config.phone_system import CdrDatabase
from tests.fakes.row_table import InMemoryCdrSource
from tests.systems import mariadb, mssql, postgresql
from tests.systems.mariadb import MariaDb
from tests.systems.mssql import MsSql
from tests.systems.postgresql import PostgreSql

CALLLOG = read_schema("calllog", Path(__file__).resolve().parents[2])
WITH_GROUPS = CALLLOG.replace("AS hangup_cause", "AS hangup_cause, CallGroup AS call_group_id")

PHONE_SYSTEMS = ("twin", "sqlite", "mariadb", "postgresql", "mssql-freetds", "mssql-microsoft")
"""Names for ``make_phone_system``."""

TABLE = {
    "id": "Id",
    "call_id": "CallId",
    "started_at": "StartTime",
    "ended_at": "EndTime",
    "duration_s": "Duration",
    "caller_number": "CallerNumber",
    "dest_number": "DestNumber",
    "extension": "Extension",
    "call_type": "CallType",
    "answered": "Answered",
    "hangup_cause": "HangupCause",
    "call_group_id": "CallGroup",
}
"""The column of CallLog behind each canonical column."""


class PhoneSystem(ABC):
    """A phone system with an empty table of calls."""

    @abstractmethod
    def insert(self, *rows: RawRow) -> None:
        """Write rows by their canonical columns; columns that a row does not name stay NULL."""

    @abstractmethod
    def source(self, *, timezone: str = "UTC", with_groups: bool = False) -> CdrSource: ...

    def raw(self, moment: datetime) -> Any:
        """What the driver makes of a stored moment."""
        return moment


class TwinPhoneSystem(PhoneSystem):
    def __init__(self) -> None:
        self._source = InMemoryCdrSource()

    def insert(self, *rows: RawRow) -> None:
        self._source.put(*rows)

    def source(self, *, timezone: str = "UTC", with_groups: bool = False) -> InMemoryCdrSource:
        self._source = InMemoryCdrSource(self._source.rows.values(), timezone=timezone)
        return self._source

    def drop_connections(self) -> None:
        """End every connection of the reader's, without a word."""
        self._source.drop_connections()


class SqlPhoneSystem(PhoneSystem):
    """One with a real database. ``types`` are those of id, texts, moments and numbers in its table."""

    engine: str
    types: tuple[str, str, str, str]

    @abstractmethod
    def settings(self, **changes: Any) -> CdrDatabase:
        """Settings that get the reader in, but for these changes."""

    @abstractmethod
    def sql(self, text: str, *parameters: Any) -> list[tuple[Any, ...]]:
        """Run one statement as the administrator. Its parameters stand as ``?`` in SQLite's way, else as ``%s``."""

    @abstractmethod
    def insert_values(self, columns: str, values: Sequence[Sequence[Any]]) -> None: ...

    def create_table(self) -> None:
        key, text, moment, number = self.types
        kinds = {"id": key, "started_at": moment, "ended_at": moment}
        kinds |= dict.fromkeys(("duration_s", "call_type", "answered"), number)
        columns = ", ".join(f"{column} {kinds.get(canonical, text)}" for canonical, column in TABLE.items())
        self.sql("DROP TABLE IF EXISTS CallLog")
        self.sql(f"CREATE TABLE CallLog ({columns})")

    def insert(self, *rows: RawRow) -> None:
        values = [[self._stored(row.get(canonical)) for canonical in TABLE] for row in rows]
        self.insert_values(", ".join(TABLE.values()), values)

    def source(self, *, timezone: str = "UTC", with_groups: bool = False) -> SqlCdrSource:
        return self.source_of(WITH_GROUPS if with_groups else CALLLOG, timezone=timezone)

    def source_of(self, schema: str, **changes: Any) -> SqlCdrSource:
        """A source with a schema of its own and settings that are changed."""
        return SqlCdrSource(self.settings(**changes), schema)

    def _stored(self, value: Any) -> Any:
        return self.raw(value) if isinstance(value, datetime) else value


class SqlitePhoneSystem(SqlPhoneSystem):
    engine = "sqlite"
    types = ("INTEGER PRIMARY KEY", "TEXT", "TEXT", "INTEGER")

    def __init__(self, file: Path) -> None:
        self.file = file
        self.create_table()

    def settings(self, **changes: Any) -> CdrDatabase:
        return CdrDatabase(**{"engine": "sqlite", "database": str(self.file)} | changes)

    def sql(self, text: str, *parameters: Any) -> list[tuple[Any, ...]]:
        with closing(sqlite3.connect(self.file)) as connection, connection:
            return connection.execute(text, parameters).fetchall()

    def insert_values(self, columns: str, values: Sequence[Sequence[Any]]) -> None:
        marks = ", ".join("?" * len(TABLE))
        with closing(sqlite3.connect(self.file)) as connection, connection:
            connection.executemany(f"INSERT INTO CallLog ({columns}) VALUES ({marks})", values)

    def raw(self, moment: datetime) -> str:
        return moment.isoformat(" ")


class MariaDbPhoneSystem(SqlPhoneSystem):
    engine = "mysql"
    types = ("BIGINT PRIMARY KEY", "TEXT", "DATETIME", "INT")

    def __init__(self, server: MariaDb) -> None:
        self.server = server
        self.create_table()

    def settings(self, **changes: Any) -> CdrDatabase:
        login = {"username": mariadb.READER, "password": mariadb.PASSWORD, "database": mariadb.DATABASE}
        where = {
            "engine": "mysql",
            "host": self.server.host,
            "port": self.server.port,
            "trust_server_certificate": True,
        }
        return CdrDatabase(**where | login | changes)

    def sql(self, text: str, *parameters: Any) -> list[tuple[Any, ...]]:
        return self.server.sql(text, *parameters)

    def insert_values(self, columns: str, values: Sequence[Sequence[Any]]) -> None:
        marks = ", ".join(["%s"] * len(TABLE))
        with closing(self.server.connect()) as connection, connection.cursor() as cursor:
            cursor.executemany(f"INSERT INTO CallLog ({columns}) VALUES ({marks})", values)
            connection.commit()

    def drop_connections(self) -> None:
        listed = "SELECT id FROM information_schema.processlist WHERE user = %s"
        for (connection_id,) in self.sql(listed, mariadb.READER):
            self.sql(f"KILL {connection_id}")


class PostgreSqlPhoneSystem(SqlPhoneSystem):
    engine = "postgresql"
    types = ("BIGINT PRIMARY KEY", "TEXT", "TIMESTAMP", "INT")

    def __init__(self, server: PostgreSql) -> None:
        self.server = server
        self.create_table()

    def settings(self, **changes: Any) -> CdrDatabase:
        login = {"username": postgresql.READER, "password": postgresql.PASSWORD, "database": postgresql.DATABASE}
        where = {
            "engine": "postgresql",
            "host": self.server.host,
            "port": self.server.port,
            "trust_server_certificate": True,
        }
        return CdrDatabase(**where | login | changes)

    def sql(self, text: str, *parameters: Any) -> list[tuple[Any, ...]]:
        return self.server.sql(text, *parameters)

    def insert_values(self, columns: str, values: Sequence[Sequence[Any]]) -> None:
        self.server.insert("CallLog", columns, values)

    def drop_connections(self) -> None:
        self.sql("SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE usename = %s", postgresql.READER)


class MsSqlPhoneSystem(SqlPhoneSystem):
    engine = "sqlserver"
    types = ("BIGINT PRIMARY KEY", "NVARCHAR", "DATETIME2", "INT")

    def __init__(self, server: MsSql) -> None:
        self.server = server
        self.create_table()

    def settings(self, **changes: Any) -> CdrDatabase:
        login = {"username": mssql.READER, "password": mssql.PASSWORD, "database": mssql.DATABASE}
        where = {"host": self.server.host, "port": self.server.port, "trust_server_certificate": True}
        return CdrDatabase(**{"engine": "sqlserver"} | where | login | changes)

    def sql(self, text: str, *parameters: Any) -> list[tuple[Any, ...]]:
        return self.server.execute(text, parameters)

    def insert_values(self, columns: str, values: Sequence[Sequence[Any]]) -> None:
        marks = ", ".join("?" * len(TABLE))
        self.server.executemany(f"INSERT INTO CallLog ({columns}) VALUES ({marks})", values)

    def drop_connections(self) -> None:
        self.server.drop_connections()
