"""Ports that stay one's own while a server is stopped and started again."""

from __future__ import annotations

import random
import socket
from contextlib import suppress

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
