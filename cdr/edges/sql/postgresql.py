"""PostgreSQL. What has no place in Python's calendar comes as the text that the server writes."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from cdr.edges.sql.kept_settings import closed_on_failure, refuse_forgotten
from cdr.edges.sql.timeouts import Timeouts, lock_timeout_ms
from shared.config.phone_system import Database

if TYPE_CHECKING:
    import psycopg
    from psycopg.abc import Buffer

KEEP_ALIVE: Mapping[str, Any] = {
    "keepalives": 1,
    "keepalives_idle": 20,
    "keepalives_interval": 5,
    "keepalives_count": 3,
}


def connect(database: Database, timeouts: Timeouts) -> Any:
    import psycopg

    patience = timeouts.statement_s(database)

    class Connection(psycopg.Connection[Any]):
        def wait(self, gen: Any, interval: float = 0.1, timeout: float | None = None) -> Any:
            try:
                return super().wait(gen, interval, timeout or patience)
            except psycopg.OperationalError as exc:
                if exc.sqlstate is None:  # not the server's words, so nothing can be said to it any more
                    self.pgconn.finish()
                raise

    connection = Connection.connect(
        host=database.host,
        port=database.effective_port,
        user=database.username,
        password=database.password.get_secret_value() if database.password else "",
        dbname=database.database,
        connect_timeout=timeouts.connect_s,
        client_encoding="UTF8",
        autocommit=True,
        prepare_threshold=None,  # a pooler may give each statement another server, which has prepared nothing
        **KEEP_ALIVE,
        **libpq_tls(database),
    )
    with closed_on_failure(connection):
        _keep(connection, database)
    _read_anything(connection)
    return connection


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


def _keep(connection: psycopg.Connection[Any], database: Database) -> None:
    """Poolers refuse ``options`` in the connection string, or drop them."""
    units = {"statement_timeout": database.statement_timeout_seconds * 1000, "lock_timeout": lock_timeout_ms(database)}
    wanted = {
        "TimeZone": database.timezone,
        "DateStyle": "ISO, YMD",
        "IntervalStyle": "postgres",
        "client_encoding": "UTF8",
        "extra_float_digits": "1",
        "default_transaction_read_only": "on",
    }
    settings = wanted | {name: str(value) for name, value in units.items()}
    sets = ", ".join("set_config(%s, %s, false)" for _ in settings)
    connection.execute(f"SELECT {sets}".encode(), [part for setting in settings.items() for part in setting])
    shown = "SELECT name, setting FROM pg_catalog.pg_settings WHERE name = ANY(%s)"
    found = dict(connection.execute(shown, [list(settings)]).fetchall())
    refuse_forgotten(settings, {name: found.get(name) for name in settings}, database.SETTING)


def _read_anything(connection: psycopg.Connection[Any]) -> None:
    """'infinity', years before Christ or beyond 9999, and bytes that are no UTF-8, as a server without an encoding has:
    the driver's own loaders raise."""
    from psycopg.adapt import Loader
    from psycopg.types import datetime, numeric, string

    def lenient(usual: type[Loader]) -> type[Loader]:
        class Lenient(usual):  # type: ignore[misc, valid-type]
            def load(self, data: Buffer) -> Any:
                try:
                    return super().load(data)
                except Exception:  # noqa: BLE001 - whatever it is, the text says more
                    return bytes(data).decode("utf-8", "replace")

        return Lenient

    loaders: Mapping[str, type[Loader]] = {
        "timestamp": datetime.TimestampLoader,
        "timestamptz": datetime.TimestamptzLoader,
        "date": datetime.DateLoader,
        "time": datetime.TimeLoader,
        "timetz": datetime.TimetzLoader,
        "interval": datetime.IntervalLoader,
        "numeric": numeric.NumericLoader,
        **dict.fromkeys(("text", "varchar", "bpchar", "name", "json", "jsonb"), string.TextLoader),
    }
    for name, usual in loaders.items():
        connection.adapters.register_loader(name, lenient(usual))
