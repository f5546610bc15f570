"""MySQL and MariaDB. TIMESTAMP columns hold moments, and come with an offset; DATETIME columns come as they are."""

from __future__ import annotations

import ssl
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from cdr.edges.sql import lenient_decoding as lenient
from cdr.edges.sql.kept_settings import closed_on_failure, refuse_forgotten
from cdr.edges.sql.timeouts import Timeouts
from shared.config.phone_system import Database
from shared.errors import SourceMisconfigured

CHANGES_VALUES = frozenset({"PAD_CHAR_TO_FULL_LENGTH"})
"""Of the SQL modes: the others are about writing, or about what the SELECT means, which is the operator's affair."""

UNKNOWN_VARIABLE = 1193


def connect(database: Database, timeouts: Timeouts) -> Any:
    import pymysql
    from pymysql.constants import FIELD_TYPE
    from pymysql.converters import conversions

    connection = pymysql.connect(
        host=database.host,
        port=database.effective_port,
        user=database.username,
        # As the server's hash was made of it; left to itself the driver takes Latin-1, and fails with what has none.
        password=(database.password.get_secret_value() if database.password else "").encode(),
        database=database.database,
        charset="utf8mb4",
        autocommit=True,
        conv={**conversions, FIELD_TYPE.TIMESTAMP: _moment},
        connect_timeout=timeouts.connect_s,
        read_timeout=timeouts.statement_s(database),
        write_timeout=timeouts.statement_s(database),
        ssl=_tls(database) if database.encrypt else None,
        ssl_disabled=not database.encrypt,
    )
    with closed_on_failure(connection):
        _keep(connection, database)
    connection.encoding = lenient.UTF_8
    return connection


def _moment(text: str) -> datetime | str:
    """The zero date stays text."""
    from pymysql.converters import convert_datetime

    found = convert_datetime(text)
    return found.replace(tzinfo=UTC) if isinstance(found, datetime) else str(found)


def _tls(database: Database) -> ssl.SSLContext:
    if not database.trust_server_certificate:
        return ssl.create_default_context(cafile=database.ca_file)
    # Without those that the system trusts: to read them takes longer than to connect.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def _keep(connection: Any, database: Database) -> None:
    """A proxy may tell MySQL's version before a MariaDB, and the other way round: if a variable is unknown, the other
    server's is tried."""
    seconds = database.statement_timeout_seconds
    limits = [("max_execution_time", seconds * 1000), ("max_statement_time", seconds)]
    read_only = ["transaction_read_only", "tx_read_only"]
    if "mariadb" in connection.get_server_info().lower():
        limits, read_only = limits[::-1], read_only[::-1]
    with connection.cursor() as cursor:
        cursor.execute("SET NAMES utf8mb4")
        cursor.execute(f"SET SESSION time_zone = '+00:00', lock_wait_timeout = {seconds}, autocommit = 1")
        cursor.execute("SET SESSION TRANSACTION READ ONLY")
        cursor.execute("SELECT @@SESSION.sql_mode")
        modes = str(cursor.fetchone()[0]).split(",")
        cursor.execute("SET SESSION sql_mode = %s", [",".join(mode for mode in modes if mode not in CHANGES_VALUES)])
        for_limits = [f"SET SESSION {name} = {value}" for name, value in limits]
        limit, value = limits[_first_known(cursor, for_limits, database.SETTING)]
        reads_back = f"SELECT @@time_zone, @@character_set_results, @@lock_wait_timeout, @@{limit}, @@"
        _first_known(cursor, [reads_back + name for name in read_only], database.SETTING)
        names = ("time_zone", "character_set_results", "lock_wait_timeout", limit, "read only")
        found = dict(zip(names, cursor.fetchone(), strict=True))
    wanted = dict(zip(names, ("+00:00", "utf8mb4", seconds, value, 1), strict=True))
    refuse_forgotten(wanted, found, database.SETTING)


def _first_known(cursor: Any, statements: Sequence[str], setting: str) -> int:
    """Which of the statements names a variable that the server knows; it was carried out."""
    import pymysql

    for number, statement in enumerate(statements):
        try:
            with suppress(pymysql.Warning):
                cursor.execute(statement)
        except pymysql.MySQLError as exc:
            if exc.args[:1] != (UNKNOWN_VARIABLE,):
                raise
        else:
            return number
    raise SourceMisconfigured(f"{setting}.engine: the server has no limit for the time of a statement: it is too old")
