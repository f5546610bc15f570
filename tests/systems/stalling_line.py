"""A line to a server that can fall silent: connections stay, and nothing comes through any more."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

HOST = "127.0.0.1"


class StallingLine:
    """Takes connections on a free port and passes everything on, both ways, until it is told to stall."""

    def __init__(self, host: str, port: int) -> None:
        self._target = (host, port)
        self._flowing = threading.Event()
        self._left: int | None = None
        self._flowing.set()
        self._listener = socket.create_server((HOST, 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def is_stalled(self) -> bool:
        return not self._flowing.is_set()

    def stall(self) -> None:
        self._flowing.clear()

    def stall_after(self, size: int) -> None:
        """Let so many bytes of the server's through before."""
        self._left = size

    def flow(self) -> None:
        self._left = None
        self._flowing.set()

    def close(self) -> None:
        self.flow()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):  # closed
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(self._target)
                for source, sink in ((client, server), (server, client)):
                    threading.Thread(target=self._pass_on, args=(source, sink), daemon=True).start()

    def _pass_on(self, source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError), source, sink:
            while data := source.recv(4_096):
                if self._left is not None and sink.getsockname()[1] == self.port:
                    self._left -= len(data)
                    if self._left < 0:
                        self.stall()
                self._flowing.wait()
                sink.sendall(data)


@contextmanager
def start(host: str, port: int) -> Iterator[StallingLine]:
    line = StallingLine(host, port)
    try:
        yield line
    finally:
        line.close()
