"""A TCP proxy before MySQL or MariaDB that sees each command as a request, the connection itself included."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from tests.faults.proxies import HOST, Answer, Dropped, Loop, Port, Request, Treatment, reset

HEADER = 4
"""Bytes before each packet: three for its length, one for its number, which is 0 where a command begins."""

AT_ONCE = 65_536
QUIT = 1


class MySqlProxy:
    """Stands before a server on 127.0.0.1 that is spoken to without TLS. ``treat`` has each command first."""

    def __init__(self, loop: Loop, upstream: int, treat: Treatment, worker: Any) -> None:
        self._upstream = upstream
        self._treat = treat
        self._worker = worker
        self.port = Port(loop, self._serve)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = _Connection(reader, writer)
        arrival = Request("database", "connect", "", worker=self._worker)
        try:
            await self._treat(arrival, connection.opener(self._upstream))
            await connection.pass_on(self._treat, self._worker)
        finally:
            connection.end()


class _Connection:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._client, self._to_client = reader, writer
        self._server: asyncio.StreamReader
        self._to_server: asyncio.StreamWriter | None = None
        self._answers: asyncio.Task[None] | None = None

    def opener(self, port: int) -> Callable[[], Any]:
        async def open_it() -> Answer:
            self._server, self._to_server = await asyncio.open_connection(HOST, port)
            return Answer(0)

        return open_it

    async def pass_on(self, treat: Treatment, worker: Any) -> None:
        """One command after the other: the driver never sends a second before the answer to the first."""
        assert self._to_server
        self._answers = asyncio.create_task(self._pass_answers())
        while True:
            header = await self._client.readexactly(HEADER)
            body = await self._client.readexactly(int.from_bytes(header[:3], "little"))
            if header[3] != 0 or body[:1] == bytes([QUIT]):
                self._to_server.write(header + body)
                continue
            await self._answer(
                treat, Request("database", "command", body[1:80].decode("latin-1"), worker=worker), header + body
            )

    async def _answer(self, treat: Treatment, request: Request, packet: bytes) -> None:
        assert self._to_server
        assert self._answers
        self._answers.cancel()
        await asyncio.gather(self._answers, return_exceptions=True)

        async def forward() -> Answer:
            assert self._to_server
            self._to_server.write(packet)
            begun = await self._server.read(AT_ONCE)
            if not begun:
                raise Dropped("the server closed the connection")
            return Answer(0, body=begun)

        answer = await treat(request, forward)
        self._to_client.write(answer.body[: answer.cut])
        await self._to_client.drain()
        if answer.cut is not None:
            raise Dropped("cut off on purpose")
        self._answers = asyncio.create_task(self._pass_answers())

    async def _pass_answers(self) -> None:
        while piece := await self._server.read(AT_ONCE):
            self._to_client.write(piece)
        reset(self._to_client)

    def end(self) -> None:
        if self._answers:
            self._answers.cancel()
        if self._to_server:
            self._to_server.close()
