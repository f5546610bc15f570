"""SQL Server as its clients see it: the real wire protocol, TLS and logins, with rows that tests write into SQLite."""

import re
import select
import socket
import socketserver
import threading
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import cache

from pysqlbridge.certificate import Certificate, self_signed
from pysqlbridge.tds.connection import Connection, ConnectionState
from pysqlbridge.tds.login import deobfuscate_password
from pysqlbridge.tds.packet import TdsProtocolError
from pysqlbridge.tds.result import Query, QueryError, QueryResult
from pysqlbridge.tds.tls import TlsError
from pysqlbridge.tds.token import DoneStatus, done, error

from tests.systems.odbc import DRIVER_NAMES, available_drivers, odbc_environment, why_unavailable
from tests.systems.tds_prepared import PreparedStatements
from tests.systems.tds_session import answer_about_session
from tests.systems.tsql import Database

__all__ = [
    "DATABASE",
    "DATABASE_NOT_AVAILABLE",
    "DEADLOCK_VICTIM",
    "DRIVER_NAMES",
    "PASSWORD",
    "PERMISSION_DENIED",
    "READER",
    "SERVICE_IS_BUSY",
    "MsSql",
    "available_drivers",
    "is_installed",
    "odbc_environment",
    "start",
    "why_unavailable",
]

HOST = "127.0.0.1"
DATABASE = "cdr"
READER = "cdr_reader"
PASSWORD = "only-to-read"

PERMISSION_DENIED = 229
DEADLOCK_VICTIM = 1205
UNKNOWN_PROCEDURE = 2812
CANNOT_OPEN_DATABASE = 4060
LOGIN_FAILED = 18456
SERVICE_IS_BUSY = 40501
DATABASE_NOT_AVAILABLE = 40613

# The classes (severities) SQL Server sends these numbers with; everything else is a 16, "the user can correct it".
_SEVERITY = {
    PERMISSION_DENIED: 14,
    DEADLOCK_VICTIM: 13,
    CANNOT_OPEN_DATABASE: 11,
    LOGIN_FAILED: 14,
    SERVICE_IS_BUSY: 20,
    DATABASE_NOT_AVAILABLE: 17,
}

_WRITE = re.compile(r"(INSERT|UPDATE|DELETE|MERGE|TRUNCATE|CREATE|ALTER|DROP|EXEC)\b", re.IGNORECASE)


def is_installed() -> str | None:
    """None if at least one ODBC driver can reach the server here, else what is missing and how to get it."""
    return None if available_drivers() else "; ".join(why_unavailable(driver) for driver in DRIVER_NAMES)


class MsSql:
    """A running server. Tests own its tables; clients log in as `cdr_reader` and may only read them."""

    host = HOST

    def __init__(self) -> None:
        self._database = Database()
        self._orders: deque[QueryError | float] = deque()
        self._server = _TdsServer(self._answer)
        self.port: int = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        self._thread.start()

    def execute(self, sqlite_sql: str, parameters: Sequence[object] = ()) -> list[tuple]:
        """Run a statement in SQLite's dialect, as the owner of the database. Declare tables with SQL Server's types."""
        return self._database.execute(sqlite_sql, parameters)

    def executemany(self, sqlite_sql: str, rows: Iterable[Sequence[object]]) -> None:
        self._database.executemany(sqlite_sql, rows)

    def fail_next(self, number: int, message: str) -> None:
        """Answer the next query, of whichever client, with this error. Several wait for their turn in order."""
        self._orders.append(_error(number, message))

    def delay_next(self, seconds: float) -> None:
        """Let the next query wait before it is answered; a client that cancels it or goes away ends the wait."""
        self._orders.append(seconds)

    @property
    def is_through(self) -> bool:
        """Whether every failure and delay has befallen a query by now."""
        return not self._orders

    def drop_connections(self) -> None:
        """Close every connection at once, in the middle of whatever it does. New ones are welcome."""
        self._server.drop_connections()

    @property
    def certificate_pem(self) -> bytes:
        """The self-signed certificate, for a client that is to trust it. It names localhost and 127.0.0.1."""
        return self._server.certificate.cert_pem

    @property
    def latest_login_is_encrypted(self) -> bool | None:
        """Whether the session of the latest login is encrypted to its end; the login itself always is."""
        return self._server.latest_login_is_encrypted

    @contextmanager
    def admitting_anybody(self) -> Iterator[list[tuple[str, str]]]:
        """Within: every login is good; yields users and passwords as they come."""
        usual, self._server.logins = self._server.logins, _AnyLogin()
        try:
            yield self._server.logins.asked
        finally:
            self._server.logins = usual

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self.drop_connections()
        self._thread.join()
        self._database.close()

    def _answer(self, query: Query, client: socket.socket) -> QueryResult:
        if (about_session := answer_about_session(query)) is not None:
            return about_session
        if query.procedure is not None:
            raise _error(UNKNOWN_PROCEDURE, f"Could not find stored procedure '{query.procedure}'.")
        if write := _WRITE.match(query.sql.strip()):
            raise _error(
                PERMISSION_DENIED, f"The {write[1].upper()} permission was denied on the database '{DATABASE}'."
            )
        self._carry_out_order(client)
        return self._database.select(query.sql, query.parameters)

    def _carry_out_order(self, client: socket.socket) -> None:
        try:
            order = self._orders.popleft()
        except IndexError:
            return
        if isinstance(order, QueryError):
            raise order
        # A cancellation arrives as bytes to read, a lost client as the end of them.
        select.select([client], [], [], order)


class _OneLogin:
    """What pysqlbridge asks about logins; its own store takes a tenth of a second to resist guessing."""

    configured = True

    def admits(self, user: str, password: str) -> bool:
        return (user, password) == (READER, PASSWORD)


class _AnyLogin:
    configured = True

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []

    def admits(self, user: str, password: str) -> bool:
        self.asked.append((user, password))
        return True


@cache
def _certificate() -> Certificate:
    """One for all servers of a process: finding its key takes longer than starting a server."""
    return self_signed("localhost")


class _TdsServer(socketserver.ThreadingTCPServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self, answer) -> None:
        self.answer = answer
        self.certificate = _certificate()
        self.logins = _OneLogin()
        self.latest_login_is_encrypted: bool | None = None
        self._clients: set[socket.socket] = set()
        super().__init__((HOST, 0), _ClientSession)

    @contextmanager
    def holding(self, client: socket.socket) -> Iterator[None]:
        self._clients.add(client)
        try:
            yield
        finally:
            self._clients.discard(client)

    def drop_connections(self) -> None:
        for client in tuple(self._clients):
            with suppress(OSError):  # it went away by itself
                client.shutdown(socket.SHUT_RDWR)


class _ClientSession(socketserver.BaseRequestHandler):
    """One client from its first byte to its last, in a thread of its own: a query that waits holds up nobody else."""

    server: _TdsServer

    def handle(self) -> None:
        statements = PreparedStatements(lambda query: self.server.answer(query, self.request))
        connection = _Connection(
            self.server.certificate, query_handler=statements.answer, database=DATABASE, logins=self.server.logins
        )
        # A client that hangs up, or does not trust the certificate, says so in whatever way it likes.
        with self.server.holding(self.request), suppress(OSError, TdsProtocolError, TlsError):
            while connection.state is not ConnectionState.FAILED and (received := self.request.recv(65536)):
                self._take(received, connection)

    def _take(self, received: bytes, connection: Connection) -> None:
        was_ready = connection.state is ConnectionState.READY
        responses = connection.receive(received)
        if not was_ready and connection.state is ConnectionState.READY:
            self.server.latest_login_is_encrypted = connection.session_encrypted
        for response in responses:
            self.request.sendall(response)


class _Connection(Connection):
    """A login that names another database than the one there is gets the errors that SQL Server has for it."""

    def _answer_sql_login(self, responses: list[bytes]) -> bool:
        user, database = self._login.user_name, self._login.database
        known = database.lower() in ("", DATABASE)
        if known or not self._logins.admits(user, deobfuscate_password(self._login.password)):
            return super()._answer_sql_login(responses)
        refusals = (
            _error(
                CANNOT_OPEN_DATABASE, f'Cannot open database "{database}" requested by the login. The login failed.'
            ),
            _error(LOGIN_FAILED, f"Login failed for user '{user}'."),
        )
        sent = (error(one.number, str(one), severity=one.severity, tds_version=self._tds_version) for one in refusals)
        self._send(responses, b"".join(sent) + done(status=DoneStatus.ERROR, tds_version=self._tds_version))
        self._state = ConnectionState.FAILED
        return True


def _error(number: int, message: str) -> QueryError:
    return QueryError(message, number=number, severity=_SEVERITY.get(number, 16))


@contextmanager
def start() -> Iterator[MsSql]:
    """A server on a free port, without tables, for as long as the block lasts."""
    server = MsSql()
    try:
        yield server
    finally:
        server.stop()
