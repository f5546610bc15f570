"""Connections that keep to the deadline of the exchange they are used for, and know whether its request went out.

A time-out of requests is one for each wait on the socket: a server that sends a byte a second, in its headers or in its
body, is never too slow for it. Here each wait gets what is left of the whole.
"""

from __future__ import annotations

import io
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass
from http.client import HTTPResponse
from queue import Empty, SimpleQueue
from threading import Thread
from typing import TYPE_CHECKING, Any, cast

from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import NewConnectionError

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

POOL_SIZE = 32
"""The most worker threads that the Functions worker has."""

CONNECT_TIMEOUT_S = 5.0
"""At most, of an exchange's time: with what does not even take a connection, no more patience helps."""

IDLE_S = 30.0
"""A connection that rested for longer is not used again: a firewall in between may have forgotten it without a word,
and the whole time-out would pass before that shows."""

KEEP_ALIVE = (("TCP_KEEPIDLE", 15), ("TCP_KEEPALIVE", 15), ("TCP_KEEPINTVL", 5), ("TCP_KEEPCNT", 3))
"""Seconds, and a number of probes; each system knows some of the names."""

INTERIM = frozenset(range(100, 200)) - {101}
"""What comes before the answer: early hints, or that it is being worked on. After 101 comes none that we could read."""

AddressInfo = tuple[socket.AddressFamily, socket.SocketKind, int, str, Any]


@dataclass
class Progress:
    """How far an exchange is. ``ends`` is its deadline by the monotonic clock."""

    monotonic: Callable[[], float]
    ends: float
    is_sent: bool = False
    """Whether some of the request may have left this machine."""
    may_send: Callable[[], bool] = lambda: True
    """Asked when it is about to."""
    connect_s: float = CONNECT_TIMEOUT_S
    """At most, until there is a connection."""

    def left(self) -> float:
        """Seconds until the deadline.

        :raises TimeoutError: it has passed
        """
        left = self.ends - self.monotonic()
        if left <= 0:
            raise TimeoutError("it took too long")
        return left

    @contextmanager
    def connecting(self) -> Iterator[None]:
        """Within, there is less time; and what is sent (to a proxy, for TLS) is not the request."""
        whole, self.ends = self.ends, min(self.ends, self.monotonic() + self.connect_s)
        try:
            yield
        finally:
            self.ends, self.is_sent = whole, False


_current: ContextVar[Progress] = ContextVar("progress of the exchange")
"""The libraries in between hand nothing of ours down to a connection, but they stay on one thread."""


@contextmanager
def of_exchange(progress: Progress) -> Iterator[None]:
    """Within, connections belong to this exchange."""
    before = _current.set(progress)
    try:
        yield
    finally:
        _current.reset(before)


# Reading


class _TimedReader(io.RawIOBase):
    """Reads from a socket, each time for no longer than what is left."""

    def __init__(self, sock: socket.socket) -> None:
        self._progress = _current.get()
        self._socket = sock
        self._file = sock.makefile("rb", buffering=0)
        self.is_at_end = False
        """Whether the other side has closed, and all that it said is read."""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int | None:
        self._socket.settimeout(self._progress.left())
        count = self._file.readinto(buffer)
        self.is_at_end = count == 0
        return count

    def close(self) -> None:
        self._file.close()
        super().close()


class _TimedSocket:
    """As much of a socket as an answer needs."""

    def __init__(self, sock: socket.socket) -> None:
        self.reader = _TimedReader(sock)

    def makefile(self, _mode: str) -> io.BufferedReader:
        return io.BufferedReader(self.reader)


class _TimedResponse(HTTPResponse):
    """The library takes for a whole head what broke off within it, and for an answer what only comes before one."""

    def __init__(self, sock: socket.socket, *args: Any, **options: Any) -> None:
        timed = _TimedSocket(sock)
        self._reader = timed.reader
        super().__init__(cast("socket.socket", timed), *args, **options)

    def begin(self) -> None:
        super().begin()
        while self.status in INTERIM:
            self.headers = self.msg = None  # type: ignore[assignment]
            super().begin()
        if self._reader.is_at_end:
            raise ConnectionError("the answer broke off in its head")
        if self.length is None and not self.chunked and self.headers.get("Content-Length") is not None:
            raise ConnectionError("the answer's length is no number")


# Connecting and sending


class _Connection(HTTPConnection):
    response_class = _TimedResponse
    _used_at = 0.0
    _head: bytes | None = None
    """Of a request, while it waits for the body."""

    def connect(self) -> None:
        with _current.get().connecting():
            super().connect()

    def _new_conn(self) -> socket.socket:
        return _connected(self.host.strip("[]"), self.port or self.default_port, _current.get())

    def request(self, method: str, url: str, body: Any = None, headers: Any = None, **options: Any) -> None:
        """A body goes out in one piece with its head, so that the other side is not woken twice."""
        if self.sock is None:
            self._connect_or_say_why()
        self._head = b"" if body and isinstance(body, bytes | str) else None
        super().request(method, url, body, headers, **options)

    def _connect_or_say_why(self) -> None:
        """The pool goes on after a connection that was reset, in case an answer is there to be read: here is none."""
        try:
            self.connect()
        except ConnectionError as exc:
            raise NewConnectionError(self, "not connected") from exc

    def send(self, data: Any) -> None:
        if self._head == b"":
            self._head = data
            return
        data, self._head = (self._head or b"") + data, None
        progress = _current.get()
        if self.sock is None:
            self.connect()
        if not progress.is_sent and not progress.may_send():
            raise TimeoutError("it was not sent in time")
        self.sock.settimeout(progress.left())
        progress.is_sent, self._used_at = True, progress.monotonic()
        super().send(data)

    @property
    def is_connected(self) -> bool:
        """Whether the pool may use the connection once more."""
        return _current.get().monotonic() - self._used_at <= IDLE_S and super().is_connected


class _TlsConnection(_Connection, HTTPSConnection):
    pass


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Connection


class _TlsPool(HTTPSConnectionPool):
    ConnectionCls = _TlsConnection


POOLS = {"http": _Pool, "https": _TlsPool}


def _connected(host: str, port: int, progress: Progress) -> socket.socket:
    """Connected to the first of the host's addresses that takes it; each has a fair share of the time that is left."""
    addresses = _look_up(host, port, progress.left())
    failure = OSError("the name has no address")
    for n, address in enumerate(addresses):
        try:
            return _connected_to(address, progress, share=1 / (len(addresses) - n))
        except OSError as exc:
            failure = exc
    raise failure


def _connected_to(found: AddressInfo, progress: Progress, share: float) -> socket.socket:
    family, kind, protocol, _, address = found
    sock = socket.socket(family, kind, protocol)
    try:
        _keep_alive(sock)
        sock.settimeout(progress.left() * share)
        sock.connect(address)
        sock.settimeout(progress.left())  # TLS may have all of it
    except OSError:
        sock.close()
        raise
    return sock


def _look_up(host: str, port: int, within_s: float) -> Sequence[AddressInfo]:
    """The addresses of a name. The system's resolver has its own patience, so it is asked on a thread of its own."""
    found: SimpleQueue[Sequence[AddressInfo] | Exception] = SimpleQueue()

    def look() -> None:
        try:
            found.put(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
        except (OSError, ValueError) as exc:  # ValueError: no host can have such a name
            found.put(exc)

    Thread(target=look, daemon=True).start()
    try:
        answer = found.get(timeout=within_s)
    except Empty:
        raise TimeoutError("the name was not looked up in time") from None
    if isinstance(answer, Exception):
        raise answer
    return answer


def _keep_alive(sock: socket.socket) -> None:
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in KEEP_ALIVE:
        if (option := getattr(socket, name, None)) is not None:
            with suppress(OSError):
                sock.setsockopt(socket.IPPROTO_TCP, option, value)
