"""The real PostgreSQL server: a private instance with temporary data, for as long as a test needs it."""

import getpass
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql
from pysqlbridge.certificate import self_signed

from tests.support.ports import lasting_port

HOST = "127.0.0.1"
DATABASE = "cdr"
READER = "cdr_reader"
PASSWORD = "only-to-read"
ADMIN = "postgres"

_START_WITHIN_S = 60.0
_STOP_WITHIN_S = 30.0
_WHERE_DEBIAN_PUTS_IT = "/usr/lib/postgresql"

# Passwords over the network, encrypted or not; none for the administrator, who comes through the socket file.
_WHO_MAY_ENTER = "local all all trust\nhost all all 127.0.0.1/32 scram-sha-256\n"


def is_installed() -> str | None:
    """None if the server can be started here, else what is missing and how to get it."""
    missing = [program for program in ("postgres", "initdb") if _find(program) is None]
    return f"no {' and no '.join(missing)}: apt-get install postgresql" if missing else None


class PostgreSql:
    """A running server with the database `cdr`, which the user `cdr_reader` may only read."""

    host = HOST

    def __init__(self, folder: Path) -> None:
        self.port = lasting_port()
        self.certificate = folder / "certificate.pem"
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        self._own: psycopg.Connection[tuple[Any, ...]] | None = None
        self._make_certificate()
        _give_to_server_user(folder)
        self._make_data()
        self._launch()
        with self.connect(ADMIN) as connection:
            connection.execute(f"CREATE DATABASE {DATABASE} ENCODING 'UTF8'".encode())
        self.add_reader(READER, PASSWORD)

    def connect(self, database: str = DATABASE) -> psycopg.Connection[tuple[Any, ...]]:
        """A connection as the administrator; each statement is committed by itself."""
        where = {"host": str(self._folder), "port": self.port, "user": ADMIN, "dbname": database}
        return psycopg.connect(**where, autocommit=True, prepare_threshold=None)

    def sql(self, text: str, *parameters: object) -> list[tuple[Any, ...]]:
        """Run one statement as the administrator, and return its rows."""
        cursor = self._lasting().execute(text.encode(), parameters or None)
        return cursor.fetchall() if cursor.description else []

    def insert(self, table: str, columns: str, rows: Sequence[Sequence[object]]) -> None:
        """Insert rows with values for these columns, of which there is at least one."""
        marks = ", ".join(["%s"] * len(rows[0])) if rows else ""
        self.run_with_each(f"INSERT INTO {table} ({columns}) VALUES ({marks})", rows)

    def run_with_each(self, text: str, rows: Sequence[Sequence[object]]) -> None:
        """Run one statement with the values of each row, all or none of them."""
        connection = self._lasting()
        with connection.transaction(), connection.cursor() as cursor:
            cursor.executemany(text.encode(), rows)

    def _lasting(self) -> psycopg.Connection[tuple[Any, ...]]:
        """The administrator's own connection, for as long as the server runs: each costs the server a process."""
        if self._own is None:
            self._own = self.connect()
        return self._own

    def add_reader(self, name: str, password: str) -> None:
        """A login that may read every table, also those that are yet to come."""
        with self.connect() as connection:
            user = sql.Identifier(name)
            connection.execute(sql.SQL("CREATE USER {} PASSWORD {}").format(user, sql.Literal(password)))
            connection.execute(sql.SQL("ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO {}").format(user))

    @property
    def certificate_pem(self) -> bytes:
        return self.certificate.read_bytes()

    def stop(self) -> None:
        """Shut down in good order; returns when the server is gone. Clients find the port closed."""
        self._hang_up()
        self._process.send_signal(signal.SIGINT)
        self._process.wait(_STOP_WITHIN_S)

    def kill(self) -> None:
        """End the server and all its processes at once, as a power failure would. What was committed is there after
        `restart`."""
        self._hang_up()
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait(_STOP_WITHIN_S)

    def restart(self, *options: str) -> None:
        """Start again, with the same data on the same port; with options such as `ssl=off`."""
        if self._process.poll() is None:
            self.stop()
        self._launch(*options)

    def _hang_up(self) -> None:
        if self._own is not None:
            self._own.close()
            self._own = None

    def _make_certificate(self) -> None:
        made = self_signed("localhost")
        self.certificate.write_bytes(made.cert_pem)
        key = self.certificate.with_name("key.pem")
        key.write_bytes(made.key_pem)
        key.chmod(0o600)

    def _make_data(self) -> None:
        options = ["--encoding=UTF8", "--no-locale", "--no-sync", f"--username={ADMIN}"]
        with self._log.open("ab") as log:
            command = self._command("initdb", *options)
            subprocess.run(command, stdout=log, stderr=log, check=True, timeout=_START_WITHIN_S, **_as_server_user())
        (self._data / "pg_hba.conf").write_text(_WHO_MAY_ENTER)

    def _launch(self, *options: str) -> None:
        settings = [
            f"listen_addresses={HOST}",
            f"port={self.port}",
            f"unix_socket_directories={self._folder}",
            "ssl=on",
            f"ssl_cert_file={self.certificate}",
            f"ssl_key_file={self.certificate.with_name('key.pem')}",
            "timezone=UTC",  # wherever the machine is
            "fsync=off",
            "shared_buffers=32MB",
            "max_connections=30",
            "autovacuum=off",
            *options,
        ]
        given = [part for setting in settings for part in ("-c", setting)]
        with self._log.open("ab") as log:
            command = self._command("postgres", *given)
            self._process = subprocess.Popen(
                command, stdout=log, stderr=log, start_new_session=True, **_as_server_user()
            )
        self._wait_until_it_answers()

    def _wait_until_it_answers(self) -> None:
        deadline = time.monotonic() + _START_WITHIN_S
        while True:
            try:
                self.connect(ADMIN).close()
            except psycopg.OperationalError:
                if self._process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError(f"PostgreSQL did not start:\n{self._log.read_text()[-2000:]}") from None
                time.sleep(0.02)
            else:
                return

    def _command(self, program: str, *options: str) -> list[str]:
        return [str(_find(program)), "-D", str(self._data), *options]

    @property
    def _data(self) -> Path:
        return self._folder / "data"

    @property
    def _log(self) -> Path:
        return self._folder / "log"


@contextmanager
def start() -> Iterator[PostgreSql]:
    """A server on a free port with empty tables, for as long as the block lasts; nothing of it is left behind."""
    folder = Path(tempfile.mkdtemp(prefix="postgresql-", dir="/tmp"))
    try:
        server = PostgreSql(folder)
        try:
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(folder)


def _find(program: str) -> Path | None:
    """The newest one; Debian keeps those of a server version in a folder of its own, away from PATH."""
    installed = sorted(Path(_WHERE_DEBIAN_PUTS_IT).glob(f"*/bin/{program}"), key=lambda path: float(path.parts[-3]))
    elsewhere = shutil.which(program)
    return installed[-1] if installed else Path(elsewhere) if elsewhere else None


def _server_user() -> str:
    """PostgreSQL refuses to run as root."""
    return "postgres" if os.geteuid() == 0 else getpass.getuser()


def _as_server_user() -> dict[str, Any]:
    if os.geteuid() != 0:
        return {}
    owner = pwd.getpwnam(_server_user())
    return {"user": owner.pw_uid, "group": owner.pw_gid, "extra_groups": (), "cwd": "/"}


def _give_to_server_user(folder: Path) -> None:
    folder.chmod(0o755)
    owner = pwd.getpwnam(_server_user())
    for path in (folder, *folder.iterdir()):
        os.chown(path, owner.pw_uid, owner.pw_gid)
