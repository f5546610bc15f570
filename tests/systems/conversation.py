"""A server that a test plays itself: what is done with each connection, byte by byte."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

Part = Callable[["Conversation"], None]
"""Does something with a connection; what it raises ends the connection."""


@dataclass
class Conversation:
    """One connection. ``over`` is set at the end of the test."""

    connection: socket.socket
    over: threading.Event

    def read_request(self) -> bytes:
        """A request's head, and its body if it says how long that is. Empty when the other side has gone."""
        received = b""
        while b"\r\n\r\n" not in received:
            if not (piece := self.connection.recv(65_536)):
                return b""
            received += piece
        head, _, body = received.partition(b"\r\n\r\n")
        lengths = [int(line[15:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")]
        while len(body) < sum(lengths):
            body += self.connection.recv(65_536)
        return head + b"\r\n\r\n" + body

    def say(self, text: bytes) -> None:
        self.connection.sendall(text)

    def drip(self, text: bytes, pause_s: float) -> None:
        """Byte by byte, again and again until the test is over."""
        while True:
            for n in range(len(text)):
                if self.over.wait(pause_s):
                    return
                self.say(text[n : n + 1])


def stays_silent(conversation: Conversation) -> None:
    """Takes the request, and says nothing until the test is over."""
    conversation.read_request()
    conversation.over.wait(30)


def drips(conversation: Conversation) -> None:
    """A byte at a time, none of which is long in coming, of an answer that never ends."""
    conversation.read_request()
    conversation.say(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 100000\r\n\r\n")
    conversation.drip(b" ", 0.02)


WITHOUT_END: Mapping[str, Part] = {"silent": stays_silent, "dripping": drips}


@dataclass
class Server:
    port: int
    connections: int = 0
    closed: int = 0
    requests: list[bytes] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


@contextmanager
def serving(play: Part) -> Iterator[Server]:
    """Plays the same with every connection, each on a thread of its own."""
    over = threading.Event()

    def converse(connection: socket.socket) -> None:
        with connection, suppress(OSError):
            connection.settimeout(10)
            play(Conversation(connection, over))
        server.closed += 1

    def accept() -> None:
        with suppress(OSError):  # closed
            while True:
                connection, _ = listener.accept()
                server.connections += 1
                threading.Thread(target=converse, args=(connection,), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = Server(listener.getsockname()[1])
        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            over.set()
            listener.shutdown(socket.SHUT_RDWR)
            thread.join(10)


@contextmanager
def answering(*answers: bytes) -> Iterator[Server]:
    """Answers requests in turn, the last answer again and again, and keeps what it was asked; connections stay open."""
    left: Sequence[bytes] = answers

    def play(conversation: Conversation) -> None:
        nonlocal left
        while request := conversation.read_request():
            server.requests.append(request)
            answer, left = left[0], left[1:] or left
            conversation.say(answer)

    with serving(play) as server:
        yield server


def dripping(said: bytes, dripped: bytes) -> Part:
    """Says the one at once, and goes on with the other for ever, byte by byte."""

    def play(conversation: Conversation) -> None:
        conversation.read_request()
        conversation.say(said)
        conversation.drip(dripped, 0.02)

    return play
