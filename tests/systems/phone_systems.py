"""The databases that a phone system may keep its calls in: the fake of them all, and each real one."""

from __future__ import annotations

import sqlite3
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, closing, contextmanager
from datetime import datetime
from pathlib import Path
from types import ModuleType
from typing import Any

from cdr.edges.sql.row_table import call_log_source, read_schema
from cdr.edges.sql.source import SqlSource
from cdr.edges.sql.timeouts import Timeouts
from cdr.intake.id_order.reader import RowPatience, RowTable
from shared.clock import SystemClock
from shared.config.phone_system import CdrDatabase
from tests.fakes.row_table import InMemoryRowTable, RawRow
from tests.systems import mariadb, mssql, postgresql

CALLLOG = read_schema("calllog", Path(__file__).resolve().parents[2])
WITH_GROUPS = CALLLOG.replace("AS hangup_cause", "AS hangup_cause, CallGroup AS call_group_id")

SERVERS = ("mariadb", "postgresql", "mssql-freetds", "mssql-microsoft")
DATABASES = ("sqlite", *SERVERS)
PHONE_SYSTEMS = ("fake", *DATABASES)
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

OWNER = {"username": "owner_of_all", "password": "everything"}

SHORT = Timeouts(connect_s=1, gone_after_s=0)
"""For servers that are not there."""


class PhoneSystem(ABC):
    """A phone system with an empty table of calls."""

    @abstractmethod
    def insert(self, *rows: RawRow) -> None:
        """Write rows by their canonical columns; columns that a row does not name stay NULL."""

    @abstractmethod
    def connect(self, *, timezone: str = "UTC", with_groups: bool = False) -> AbstractContextManager[RowTable]: ...


class FakePhoneSystem(PhoneSystem):
    def __init__(self) -> None:
        self._table = InMemoryRowTable()

    def insert(self, *rows: RawRow) -> None:
        self._table.put(*rows)

    def connect(self, *, timezone: str = "UTC", with_groups: bool = False) -> AbstractContextManager[RowTable]:
        self._table = InMemoryRowTable(self._table.rows.values(), timezone=timezone)
        return self._table.connect()

    def drop_connections(self) -> None:
        """End every connection of the reader's, without a word."""
        self._table.drop_connections()


class SqlPhoneSystem(PhoneSystem):
    """One with a real database. ``types`` are those of id, texts, moments and numbers in its table."""

    types: tuple[str, str, str, str]
    mark = "%s"
    """How its own statements write a parameter."""

    @abstractmethod
    def settings(self, **changes: Any) -> CdrDatabase:
        """Settings that get the reader in, but for these changes."""

    @abstractmethod
    def sql(self, text: str, *parameters: Any) -> list[tuple[Any, ...]]:
        """Run one statement as the administrator."""

    @abstractmethod
    def insert_values(self, statement: str, values: Sequence[Sequence[Any]]) -> None: ...

    def create_table(self) -> None:
        key, text, moment, number = self.types
        kinds = {"id": key, "started_at": moment, "ended_at": moment}
        kinds |= dict.fromkeys(("duration_s", "call_type", "answered"), number)
        columns = ", ".join(f"{column} {kinds.get(canonical, text)}" for canonical, column in TABLE.items())
        self.sql("DROP TABLE IF EXISTS CallLog")
        self.sql(f"CREATE TABLE CallLog ({columns})")

    def insert(self, *rows: RawRow) -> None:
        marks = ", ".join([self.mark] * len(TABLE))
        values = [[self._stored(row.get(canonical)) for canonical in TABLE] for row in rows]
        self.insert_values(f"INSERT INTO CallLog ({', '.join(TABLE.values())}) VALUES ({marks})", values)

    def source_of(self, schema: str, *, timeouts: Timeouts | None = None, **changes: Any) -> SqlSource[Any]:
        """A source with a schema of its own and settings that are changed."""
        settings, clock = self.settings(**changes), SystemClock()
        return call_log_source(settings, schema, clock, RowPatience(), timeouts=timeouts or Timeouts())

    @contextmanager
    def connect(
        self, schema: str = CALLLOG, *, with_groups: bool = False, timeouts: Timeouts | None = None, **changes: Any
    ) -> Iterator[RowTable]:
        """The table as the product reads it, with a schema of its own and settings that are changed."""
        source = self.source_of(WITH_GROUPS if with_groups else schema, timeouts=timeouts, **changes)
        with source.connect() as reader:
            yield reader.table

    def _stored(self, value: Any) -> Any:
        return value


class SqlitePhoneSystem(SqlPhoneSystem):
    engine = "sqlite"
    types = ("INTEGER PRIMARY KEY", "TEXT", "TEXT", "INTEGER")
    mark = "?"

    def __init__(self, file: Path) -> None:
        self.file = file
        self.create_table()

    def settings(self, **changes: Any) -> CdrDatabase:
        return CdrDatabase(**{"engine": self.engine, "database": str(self.file)} | changes)

    def sql(self, text: str, *parameters: Any) -> list[tuple[Any, ...]]:
        with self._writing() as connection:
            return connection.execute(text, parameters).fetchall()

    def insert_values(self, statement: str, values: Sequence[Sequence[Any]]) -> None:
        with self._writing() as connection:
            connection.executemany(statement, values)

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        """Waits for no disk: its file need not outlive the machine."""
        with closing(sqlite3.connect(self.file)) as connection, connection:
            connection.execute("PRAGMA synchronous = OFF")
            yield connection

    def _stored(self, value: Any) -> Any:
        return value.isoformat(" ") if isinstance(value, datetime) else value


class ServerPhoneSystem(SqlPhoneSystem):
    """One with a database server. ``program`` knows the reader's login."""

    engine: str
    program: ModuleType

    def __init__(self, server: Any) -> None:
        self.server = server
        self.create_table()

    def settings(self, **changes: Any) -> CdrDatabase:
        usual = {
            "engine": self.engine,
            "host": self.server.host,
            "port": self.server.port,
            "username": self.program.READER,
            "password": self.program.PASSWORD,
            "database": self.program.DATABASE,
            "trust_server_certificate": True,
        }
        return CdrDatabase(**usual | changes)

    def sql(self, text: str, *parameters: Any) -> list[tuple[Any, ...]]:
        return self.server.sql(text, *parameters)


class MariaDbPhoneSystem(ServerPhoneSystem):
    engine = "mysql"
    program = mariadb
    types = ("BIGINT PRIMARY KEY", "TEXT", "DATETIME", "INT")

    def insert_values(self, statement: str, values: Sequence[Sequence[Any]]) -> None:
        with closing(self.server.connect()) as connection, connection.cursor() as cursor:
            cursor.executemany(statement, values)
            connection.commit()

    def add_owner(self) -> dict[str, str]:
        """The login of one who may do everything. There is also a function that writes, and a counter."""
        self.sql("CREATE OR REPLACE USER owner_of_all IDENTIFIED BY 'everything'")
        self.sql("GRANT ALL ON *.* TO owner_of_all")
        self.sql("CREATE OR REPLACE SEQUENCE counter START WITH 1 NOCACHE")
        self.sql(
            "CREATE OR REPLACE FUNCTION add_row() RETURNS INT MODIFIES SQL DATA "
            "BEGIN INSERT INTO CallLog (Id) VALUES (99); RETURN 1; END"
        )
        return OWNER

    def count(self) -> int:
        """How far the counter is."""
        return self.sql("SELECT next_not_cached_value FROM counter")[0][0]

    def drop_connections(self) -> None:
        listed = "SELECT id FROM information_schema.processlist WHERE user = %s"
        for (connection_id,) in self.sql(listed, mariadb.READER):
            self.sql(f"KILL {connection_id}")


class PostgreSqlPhoneSystem(ServerPhoneSystem):
    engine = "postgresql"
    program = postgresql
    types = ("BIGINT PRIMARY KEY", "TEXT", "TIMESTAMP", "INT")

    def insert_values(self, statement: str, values: Sequence[Sequence[Any]]) -> None:
        self.server.run_with_each(statement, values)

    def add_owner(self) -> dict[str, str]:
        """The login of one who may do everything. There is also a function that writes, and a counter."""
        self.sql("DROP ROLE IF EXISTS owner_of_all")
        self.sql("CREATE ROLE owner_of_all SUPERUSER LOGIN PASSWORD 'everything'")
        self.sql("CREATE SEQUENCE IF NOT EXISTS counter")
        adds = "INSERT INTO CallLog VALUES(99) RETURNING 1"
        self.sql(f"CREATE OR REPLACE FUNCTION add_row() RETURNS INT LANGUAGE SQL AS '{adds}'")
        return OWNER

    def count(self) -> int:
        """How far the counter is."""
        return self.sql("SELECT last_value FROM counter")[0][0]

    def drop_connections(self) -> None:
        self.sql("SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE usename = %s", postgresql.READER)


class MsSqlPhoneSystem(ServerPhoneSystem):
    engine = "sqlserver"
    program = mssql
    types = ("BIGINT PRIMARY KEY", "NVARCHAR", "DATETIME2", "INT")
    mark = "?"

    def sql(self, text: str, *parameters: Any) -> list[tuple[Any, ...]]:
        return self.server.execute(text, parameters)

    def insert_values(self, statement: str, values: Sequence[Sequence[Any]]) -> None:
        self.server.executemany(statement, values)

    def drop_connections(self) -> None:
        self.server.drop_connections()
