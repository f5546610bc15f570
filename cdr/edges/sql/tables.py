"""What a database is like: its server, its time, and which tables a login can read.

The last is asked by reading nothing from them, since catalogues are not for every login.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime

from sqlalchemy import func, literal, quoted_name, select, table, text

from cdr.edges.sql.connections import Connections, Session
from cdr.intake.folding.columns import time_in
from cdr.intake.ports import SourceFacts
from shared.config.phone_system import Database
from shared.errors import SourceMisconfigured

OF_3CX: Mapping[str, str] = {"v20": "cdroutput", "v18": "cl_calls", "calllog": "CallLog"}
"""The table that tells a kind of phone system, by ``3cx.source``; the newest kind first."""

NOW: Mapping[str, str] = {
    "postgresql": "SELECT CURRENT_TIMESTAMP",
    "mysql": "SELECT UTC_TIMESTAMP(6)",
    "sqlserver": "SELECT SYSUTCDATETIME()",
    "sqlite": "SELECT strftime('%Y-%m-%d %H:%M:%f', 'now')",
}
_NAMES: Mapping[str, str] = {
    "postgresql": "PostgreSQL",
    "mysql": "MySQL",
    "sqlserver": "SQL Server",
    "sqlite": "SQLite",
}
_NUMBERS_OF_A_VERSION = 2


def facts_of(connections: Connections, database: Database) -> SourceFacts:
    """:raises SourceUnavailable, SourceMisconfigured: it cannot be connected to"""
    with connections.open() as connection:
        there = _readable(connection, OF_3CX.values())
        return SourceFacts(
            _server(connection, database.engine),
            {kind: name for kind, name in OF_3CX.items() if name in there},
            server_time(connection, database.engine),
        )


def tables_there(database: Database, names: Iterable[str]) -> set[str]:
    """Those of the tables that can be read.

    :raises SourceUnavailable, SourceMisconfigured: the database as a whole cannot be
    """
    with Connections(database, "3cx.source").open() as connection:
        connection.execute(select(literal(1)))
        return _readable(connection, names)


def server_time(connection: Session, engine: str) -> datetime | None:
    return time_in({"now": connection.execute(text(NOW[engine])).scalar()}, "now")


def _readable(connection: Session, names: Iterable[str]) -> set[str]:
    there: set[str] = set()
    for name in names:
        as_written = table(quoted_name(name, quote=False))  # as the SELECTs in the files have it
        nothing = select(literal(1).label("one")).select_from(as_written).where(literal(1) == 0).subquery()
        try:
            connection.execute(select(func.count()).select_from(nothing))
        except SourceMisconfigured:
            continue
        there.add(name)
    return there


def _server(connection: Session, engine: str) -> str:
    name = "MariaDB" if getattr(connection.dialect, "is_mariadb", False) else _NAMES[engine]
    numbers = (connection.dialect.server_version_info or ())[:_NUMBERS_OF_A_VERSION]
    return " ".join([name, ".".join(map(str, numbers))]).strip()
