"""Ports that nobody else takes: for a server that is stopped and started again, and for one that is not there."""

from __future__ import annotations

import random
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress

HOST = "127.0.0.1"
LASTING = range(20_000, 32_000)
"""Below those that systems give to whoever asks for any port, and to the near end of each connection."""

_CHOICE = random.SystemRandom()


def lasting_port() -> int:
    """A free one."""
    while True:
        port = _CHOICE.choice(LASTING)
        with socket.socket() as probe, suppress(OSError):
            probe.bind((HOST, port))
            return port


@contextmanager
def closed_port() -> Iterator[int]:
    """One that refuses connections."""
    with socket.socket() as nobody:
        nobody.bind((HOST, 0))
        yield nobody.getsockname()[1]
