"""One SQLAlchemy engine for each kind of database: how to connect, read only, encrypted, with a statement timeout."""

from __future__ import annotations

import re
import ssl
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, create_engine, event
from sqlalchemy.pool import NullPool

from shared.config.phone_system import Database
from shared.errors import SourceMisconfigured

SQLITE_STEPS_BETWEEN_LOOKS = 10_000


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Beside the statement timeout, which the server keeps: ``gone_after_s`` is added to it, for a server that is gone
    without a word."""

    connect_s: int = 10
    gone_after_s: int = 5


USUAL = Timeouts()


def make_engine(database: Database, timeouts: Timeouts = USUAL) -> Engine:
    """An engine that has not connected yet.

    A read-only reader has nothing to commit, and FreeTDS hides an error behind that of the rollback after it, so every
    statement stands alone (autocommit).
    """
    dialect, connect, prepare = _ENGINES[database.engine]
    engine = create_engine(
        f"{dialect}://",
        creator=lambda: connect(database, timeouts),
        poolclass=NullPool,
        pool_reset_on_return=None,
        isolation_level="AUTOCOMMIT",
    )
    prepare(engine, database)
    return engine


def _connect_sqlserver(database: Database, timeouts: Timeouts) -> Any:
    import pyodbc

    pyodbc.pooling = False
    parts = odbc_parts(database, choose_driver(pyodbc.drivers(), database.SETTING))
    return pyodbc.connect(odbc_string(parts, database.SETTING), timeout=timeouts.connect_s)


def choose_driver(installed: Sequence[str], setting: str = Database.SETTING) -> str:
    """Microsoft's driver, the newest first, else FreeTDS.

    :raises SourceMisconfigured: neither is installed
    """
    numbered = {int(m[1]): name for name in installed if (m := re.fullmatch(r"ODBC Driver (\d+) for SQL Server", name))}
    if numbered:
        return numbered[max(numbered)]
    if "FreeTDS" in installed:
        return "FreeTDS"
    raise SourceMisconfigured(f"{setting}.engine: no ODBC driver for SQL Server is installed (Microsoft's or FreeTDS)")


def odbc_parts(database: Database, driver: str) -> dict[str, str]:
    """The connection string's keywords, which the two drivers spell differently.

    :raises SourceMisconfigured: FreeTDS is asked to verify a certificate, which it cannot
    """
    host, port = str(database.host), str(database.effective_port)
    password = database.password.get_secret_value() if database.password else ""
    common = {"DRIVER": driver, "DATABASE": database.database, "UID": str(database.username), "PWD": password}
    if driver != "FreeTDS":
        trust = "yes" if database.trust_server_certificate else "no"
        encrypt = "yes" if database.encrypt else "no"
        return {**common, "SERVER": f"{host},{port}", "Encrypt": encrypt, "TrustServerCertificate": trust}
    if database.encrypt and not database.trust_server_certificate:
        raise SourceMisconfigured(
            f"{database.SETTING}.trust_server_certificate: FreeTDS cannot verify a certificate; install Microsoft's "
            "ODBC driver, or set it to true, or encrypt to false"
        )
    encryption = "require" if database.encrypt else "off"
    return {
        **common,
        "SERVER": host,
        "PORT": port,
        "TDS_Version": "7.4",
        "Encryption": encryption,
        "ClientCharset": "UTF-8",
    }


def odbc_string(parts: Mapping[str, str], setting: str = Database.SETTING) -> str:
    """Every value in braces, so that no password can end it or add a keyword.

    A closing brace within a value is doubled, but FreeTDS reads on to the first ``};`` instead, at the very end too.

    :raises SourceMisconfigured: FreeTDS is given a value with ``};`` in it
    """
    if parts["DRIVER"] != "FreeTDS":
        return "".join(f"{key}={{{value.replace('}', '}}')}}};" for key, value in parts.items())
    if any("};" in value for value in parts.values()):
        raise SourceMisconfigured(
            f"{setting}.password: FreeTDS takes no }}; in a password or a name; change it, or install Microsoft's "
            "ODBC driver"
        )
    return "".join(f"{key}={{{value}}};" for key, value in parts.items())


def _prepare_sqlserver(engine: Engine, database: Database) -> None:
    @event.listens_for(engine, "connect")
    def limit(connection: Any, _record: Any) -> None:
        connection.timeout = database.statement_timeout_seconds


def _connect_mysql(database: Database, timeouts: Timeouts) -> Any:
    import pymysql

    return pymysql.connect(
        host=database.host,
        port=database.effective_port,
        user=database.username,
        # As the server made its hash of it; left to itself the driver takes Latin-1, and fails with what that has not.
        password=(database.password.get_secret_value() if database.password else "").encode(),
        database=database.database,
        charset="utf8mb4",
        connect_timeout=timeouts.connect_s,
        read_timeout=database.statement_timeout_seconds + timeouts.gone_after_s,
        ssl=_tls(database) if database.encrypt else None,
        ssl_disabled=not database.encrypt,
    )


def _tls(database: Database) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=database.ca_file)
    if database.trust_server_certificate:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _prepare_mysql(engine: Engine, database: Database) -> None:
    seconds = database.statement_timeout_seconds

    @event.listens_for(engine, "connect")
    def restrict(connection: Any, _record: Any) -> None:
        is_mariadb = "mariadb" in connection.get_server_info().lower()
        limit = f"max_statement_time = {seconds}" if is_mariadb else f"max_execution_time = {seconds * 1000}"
        with connection.cursor() as cursor:
            cursor.execute(f"SET SESSION {limit}")
            cursor.execute("SET SESSION TRANSACTION READ ONLY")
            if (
                database.timezone == "UTC"
            ):  # a TIMESTAMP column is given in the session's zone, the server's if not told
                cursor.execute("SET SESSION time_zone = '+00:00'")


def _connect_postgresql(database: Database, timeouts: Timeouts) -> Any:
    import psycopg

    patience = database.statement_timeout_seconds + timeouts.gone_after_s

    class Connection(psycopg.Connection[Any]):
        def wait(self, gen: Any, interval: float = 0.1, timeout: float | None = None) -> Any:
            try:
                return super().wait(gen, interval, timeout or patience)
            except psycopg.OperationalError as exc:
                if exc.sqlstate is None:  # not the server's words, so nothing can be said to it any more
                    self.pgconn.finish()
                raise

    return Connection.connect(
        host=database.host,
        port=database.effective_port,
        user=database.username,
        password=database.password.get_secret_value() if database.password else "",
        dbname=database.database,
        connect_timeout=timeouts.connect_s,
        **libpq_tls(database),
        options=(
            f"-c statement_timeout={database.statement_timeout_seconds * 1000}"
            f" -c default_transaction_read_only=on -c timezone={database.timezone}"
        ),
    )


def libpq_tls(database: Database) -> dict[str, Any]:
    """What libpq is told of encryption. Without a ``ca_file`` the system's certificates count, or those of requests."""
    from requests.utils import DEFAULT_CA_BUNDLE_PATH

    if not database.encrypt:
        return {"sslmode": "disable"}
    if database.trust_server_certificate:
        return {"sslmode": "require"}
    # Not "system": the libpq of psycopg's wheels looks for the system's certificates where no system has them.
    return {
        "sslmode": "verify-full",
        "sslrootcert": database.ca_file or ssl.get_default_verify_paths().cafile or DEFAULT_CA_BUNDLE_PATH,
    }


def _prepare_postgresql(engine: Engine, database: Database) -> None:
    """All of it is in the options of the connection."""


def _connect_sqlite(database: Database, _timeouts: Timeouts) -> Any:
    import sqlite3

    uri = f"{Path(database.database).resolve().as_uri()}?mode=ro"
    connection = sqlite3.connect(uri, uri=True, timeout=database.statement_timeout_seconds, check_same_thread=False)
    # Bytes that are no UTF-8 must not hold up the rows around them.
    connection.text_factory = lambda raw: raw.decode("utf-8", "replace")
    return connection


def _prepare_sqlite(engine: Engine, database: Database) -> None:
    @event.listens_for(engine, "before_cursor_execute")
    def limit(connection: Any, *_: Any) -> None:
        ends = time.monotonic() + database.statement_timeout_seconds
        connection.connection.dbapi_connection.set_progress_handler(
            lambda: time.monotonic() > ends, SQLITE_STEPS_BETWEEN_LOOKS
        )


_ENGINES: Mapping[str, tuple[str, Callable[[Database, Timeouts], Any], Callable[[Engine, Database], None]]] = {
    "sqlserver": ("mssql+pyodbc", _connect_sqlserver, _prepare_sqlserver),
    "mysql": ("mysql+pymysql", _connect_mysql, _prepare_mysql),
    "postgresql": ("postgresql+psycopg", _connect_postgresql, _prepare_postgresql),
    "sqlite": ("sqlite", _connect_sqlite, _prepare_sqlite),
}
