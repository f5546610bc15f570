"""A Call Logger that takes every call at once, as a process of its own: it costs next to nothing.

python -m tests.bench.instant_api      prints its port; ends with its standard input
"""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count

LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)

_numbers = count(1)


class InstantAnswers(asyncio.Protocol):
    """201 to whatever is posted, 200 to whatever is asked for, each with a JSON object."""

    def __init__(self) -> None:
        self._came = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._came += data
        while (end := self._came.find(b"\r\n\r\n")) >= 0:
            found = LENGTH.search(self._came, 0, end)
            whole = end + 4 + (int(found[1]) if found else 0)
            if len(self._came) < whole:
                return
            is_post, self._came = self._came.startswith(b"POST"), self._came[whole:]
            body = b'{"id": %d}' % next(_numbers)
            head = b"HTTP/1.1 %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
            self._transport.write(head % (b"201 Created" if is_post else b"200 OK", len(body)) + body)


async def main() -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(InstantAnswers, "127.0.0.1", 0)
    sys.stdout.write(f"{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    await loop.run_in_executor(None, sys.stdin.read)


@contextmanager
def instant_api() -> Iterator[int]:
    """Its port."""
    command = [sys.executable, "-m", "tests.bench.instant_api"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield int(process.stdout.readline())
        finally:
            process.stdin.close()
            process.wait(10)


if __name__ == "__main__":
    asyncio.run(main())
