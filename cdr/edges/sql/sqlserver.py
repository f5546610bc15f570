"""SQL Server, through Microsoft's ODBC driver or FreeTDS."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from cdr.edges.sql.kept_settings import closed_on_failure, refuse_forgotten
from cdr.edges.sql.timeouts import Timeouts, lock_timeout_ms
from shared.config.phone_system import Database
from shared.errors import SourceMisconfigured

KEPT: Mapping[str, Any] = {"language": "us_english", "a lock timeout": 1, "the month in 2026-01-02": 1}
"""Whatever the login's own language is, in which a text's day and month may change places."""


def connect(database: Database, timeouts: Timeouts) -> Any:
    import pyodbc

    pyodbc.pooling = False
    parts = odbc_parts(database, choose_driver(pyodbc.drivers(), database.SETTING))
    text = odbc_string(parts, database.SETTING)
    connection = pyodbc.connect(text, timeout=timeouts.connect_s, autocommit=True)
    connection.timeout = database.statement_timeout_seconds
    for kind in (pyodbc.SQL_WCHAR, pyodbc.SQL_WVARCHAR, pyodbc.SQL_WLONGVARCHAR):
        connection.add_output_converter(kind, _text)
    with closed_on_failure(connection):
        _keep(connection, database)
    return connection


def _text(raw: bytes) -> str:
    """Half a character, as a text has that was cut, must not hold up the rows around it."""
    return raw.decode("utf-16-le", "replace")


def _keep(connection: Any, database: Database) -> None:
    cursor = connection.cursor()
    cursor.execute(f"SET LANGUAGE us_english; SET DATEFORMAT ymd; SET LOCK_TIMEOUT {lock_timeout_ms(database)}")
    cursor.execute("SELECT @@LANGUAGE, SIGN(@@LOCK_TIMEOUT), DATEPART(month, CAST('2026-01-02' AS datetime))")
    refuse_forgotten(KEPT, dict(zip(KEPT, cursor.fetchone(), strict=True)), database.SETTING)
    cursor.close()


def choose_driver(installed: Sequence[str], setting: str) -> str:
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


def odbc_string(parts: Mapping[str, str], setting: str) -> str:
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
