"""A server of bytes, for what no well-behaved HTTP server says."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress


class RawServer:
    """Answers requests in turn with these bytes. Only a 201 that does not say close leaves its connection open."""

    def __init__(self, answers: list[bytes], tls: ssl.SSLContext | None = None) -> None:
        self.requests: list[bytes] = []
        self._answers = iter(answers)
        self._tls = tls
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._conversation: socket.socket | None = None
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        for line in (self._listener, self._conversation):
            with suppress(OSError, AttributeError):
                line.shutdown(socket.SHUT_RDWR)
        self._thread.join(10)
        self._listener.close()

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                connection.settimeout(10)
                with suppress(OSError):
                    self._converse(self._tls.wrap_socket(connection, server_side=True) if self._tls else connection)
                connection.close()

    def _converse(self, connection: socket.socket) -> None:
        self._conversation = connection
        with connection:
            while request := self._request(connection):
                self.requests.append(request)
                answer = next(self._answers, b"")
                connection.sendall(answer)
                if b"201" not in answer or b"close" in answer:
                    return

    @staticmethod
    def _request(connection: socket.socket) -> bytes:
        received = b""
        while b"\r\n\r\n" not in received:
            if not (piece := connection.recv(65_536)):
                return b""
            received += piece
        head, _, body = received.partition(b"\r\n\r\n")
        lengths = [int(line[15:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")]
        while len(body) < sum(lengths):
            body += connection.recv(65_536)
        return head + b"\r\n\r\n" + body


@contextmanager
def raw_server(*answers: bytes, tls: ssl.SSLContext | None = None) -> Iterator[RawServer]:
    server = RawServer(list(answers), tls)
    try:
        yield server
    finally:
        server.stop()
