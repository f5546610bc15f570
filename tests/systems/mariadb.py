"""The real MariaDB server: a private instance with temporary data, for as long as a test needs it."""

import getpass
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pymysql
from pysqlbridge.certificate import self_signed

from tests.support.ports import lasting_port

HOST = "127.0.0.1"
DATABASE = "cdr"
READER = "cdr_reader"
PASSWORD = "only-to-read"

_START_WITHIN_S = 60.0
_STOP_WITHIN_S = 30.0
_SERVER_PROGRAMS = ("mariadbd", "mariadb-install-db")

_SERVER_PATH = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/usr/local/sbin"])


def is_installed() -> str | None:
    """None if the server can be started here, else what is missing and how to get it."""
    missing = [program for program in _SERVER_PROGRAMS if _find(program) is None]
    return f"no {' and no '.join(missing)}: apt-get install mariadb-server" if missing else None


class MariaDb:
    """A running server with the database `cdr`, which the user `cdr_reader` may only read."""

    host = HOST

    def __init__(self, folder: Path) -> None:
        self.port = lasting_port()
        self.certificate = folder / "certificate.pem"
        self._folder = folder
        self._socket = folder / "socket"
        self._process: subprocess.Popen[bytes] | None = None
        self._make_certificate()
        (folder / "tmp").mkdir()
        _give_to_server_user(folder)
        self._run_to_the_end("mariadb-install-db", "--auth-root-authentication-method=normal", "--skip-test-db")
        self._launch()
        self.sql(f"CREATE DATABASE {DATABASE} CHARACTER SET utf8mb4", database=None)
        self.sql(f"CREATE USER {READER} IDENTIFIED BY %s", PASSWORD)
        self.sql(f"GRANT SELECT ON {DATABASE}.* TO {READER}")

    def connect(self, database: str | None = DATABASE) -> pymysql.Connection:
        """A connection as the administrator, in transactions that last until `commit`.

        Unencrypted: to read the certificates that a machine trusts takes longer than most statements.
        """
        return pymysql.connect(
            unix_socket=str(self._socket), user="root", database=database, charset="utf8mb4", ssl_disabled=True
        )

    def sql(self, text: str, *parameters: object, database: str | None = DATABASE) -> list[tuple]:
        """Run one statement as the administrator, commit, and return its rows."""
        with closing(self.connect(database)) as connection, connection.cursor() as cursor:
            cursor.execute(text, parameters or None)
            connection.commit()
            return list(cursor.fetchall())

    @property
    def certificate_pem(self) -> bytes:
        return self.certificate.read_bytes()

    def stop(self) -> None:
        """Shut down in good order; returns when the server is gone. Clients find the port closed."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End the server at once, as a power failure would. What was committed is there after `restart`."""
        self._end(signal.SIGKILL)

    def restart(self) -> None:
        """Start again, with the same data on the same port."""
        self.stop()
        self._launch()

    def _make_certificate(self) -> None:
        made = self_signed("localhost")
        self.certificate.write_bytes(made.cert_pem)
        self.certificate.with_name("key.pem").write_bytes(made.key_pem)

    def _launch(self) -> None:
        """In UTC wherever the machine is: a moment is written by the zone of the session, which has it from there."""
        options = [
            f"--bind-address={HOST}",
            f"--port={self.port}",
            f"--socket={self._socket}",
            f"--pid-file={self._folder / 'pid'}",
            f"--ssl-cert={self.certificate}",
            f"--ssl-key={self.certificate.with_name('key.pem')}",
            "--skip-name-resolve",
            "--skip-log-bin",
            "--innodb-buffer-pool-size=64M",
            "--innodb-flush-log-at-trx-commit=2",
            "--innodb-flush-method=nosync",
            "--innodb-fast-shutdown=2",
            "--performance-schema=OFF",
        ]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command("mariadbd", *options),
                stdout=log,
                stderr=log,
                env={**os.environ, "TZ": "UTC"},
                start_new_session=True,
            )
        self._wait_until_it_answers()

    def _wait_until_it_answers(self) -> None:
        deadline = time.monotonic() + _START_WITHIN_S
        while not self._listens():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"MariaDB did not start:\n{self._log.read_text()[-2000:]}")
            time.sleep(0.02)

    def _listens(self) -> bool:
        with socket.socket(socket.AF_UNIX) as probe:
            return probe.connect_ex(str(self._socket)) == 0

    def _end(self, with_signal: signal.Signals) -> None:
        self._process.send_signal(with_signal)
        self._process.wait(_STOP_WITHIN_S)

    def _run_to_the_end(self, program: str, *options: str) -> None:
        with self._log.open("ab") as log:
            command = self._command(program, *options)
            ended = subprocess.run(command, stdout=log, stderr=log, check=False, timeout=_START_WITHIN_S)
        if ended.returncode != 0:
            raise RuntimeError(f"{program} ended with {ended.returncode}:\n{self._log.read_text()[-2000:]}")

    def _command(self, program: str, *options: str) -> list[str]:
        """A folder of its own for temporary tables, too: each server that starts clears there what others have."""
        folders = [f"--datadir={self._folder / 'data'}", f"--tmpdir={self._folder / 'tmp'}"]
        return [_find(program), "--no-defaults", *folders, f"--user={_server_user()}", *options]

    @property
    def _log(self) -> Path:
        return self._folder / "log"


@contextmanager
def start() -> Iterator[MariaDb]:
    """A server on a free port with empty tables, for as long as the block lasts; nothing of it is left behind."""
    folder = Path(tempfile.mkdtemp(prefix="mariadb-", dir="/tmp"))
    try:
        server = MariaDb(folder)
        try:
            yield server
        finally:
            server.kill()
    finally:
        shutil.rmtree(folder)


def _find(program: str) -> str | None:
    return shutil.which(program, path=_SERVER_PATH)


def _server_user() -> str:
    """MariaDB refuses to run as root."""
    return "mysql" if os.geteuid() == 0 else getpass.getuser()


def _give_to_server_user(folder: Path) -> None:
    folder.chmod(0o755)
    for path in (folder, *folder.iterdir()):
        shutil.chown(path, _server_user())
