"""HTTP proxies that count requests and treat them as they are told. All of them run on one thread of their own."""

from __future__ import annotations

import asyncio
import socket
import struct
import threading
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Literal, Self, TypeVar

HOST = "127.0.0.1"
DRIP_EVERY_S = 0.05
Result = TypeVar("Result")


class Dropped(Exception):
    """The connection is to be reset: the client gets no answer."""


@dataclass
class Request:
    """One request on its way. ``kind`` is queue, table, api or database; ``key`` says which worker it comes from."""

    kind: str
    method: str
    target: str
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    worker: Any = None


@dataclass
class Answer:
    """``cut`` is how many bytes of the body are passed on before the connection is closed; None: all, and it stays.
    ``drip`` is where it begins to come byte by byte; ``head_cut``, how many bytes of the head come before the end.
    """

    status: int
    headers: list[tuple[str, str]] = field(default_factory=list)
    body: bytes = b""
    cut: int | None = None
    drip: Literal["head", "body"] | None = None
    head_cut: int | None = None


Forward = Callable[[], Awaitable[Answer]]
"""Lets the request be carried out."""

Treatment = Callable[[Request, Forward], Awaitable[Answer]]
"""What becomes of a request: an answer, from whomever, or Dropped."""


class Loop:
    """The thread on which all proxies run."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxies", daemon=True)
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, Result]) -> Result:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(30)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None) -> None:
        self.run(_cancel_all())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()


async def _cancel_all() -> None:
    others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)


class Port:
    """A listening port whose connections are served by ``serve``; it can be closed, as if the server were down."""

    def __init__(self, loop: Loop, serve: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Any]) -> None:
        self._loop = loop
        self._serve = serve
        self._writers: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None
        self.number = 0
        self.open()

    def open(self) -> None:
        self._loop.run(self._open())

    def close(self) -> None:
        """Refuse new connections and reset the open ones."""
        self._loop.run(self._close())

    async def _open(self) -> None:
        self._server = await asyncio.start_server(self._connected, HOST, self.number)
        self.number = self._server.sockets[0].getsockname()[1]

    async def _close(self) -> None:
        if self._server:
            self._server.close()
        for writer in list(self._writers):
            reset(writer)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            await self._serve(reader, writer)
        except (OSError, EOFError, Dropped, asyncio.LimitOverrunError):
            reset(writer)
        except asyncio.CancelledError:
            reset(writer)
        finally:
            self._writers.discard(writer)
            writer.close()


def reset(writer: asyncio.StreamWriter) -> None:
    """Closing with a linger time of zero sends RST, not FIN."""
    connection = writer.get_extra_info("socket")
    if connection is not None and connection.fileno() >= 0:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


class HttpProxy:
    """Stands before an HTTP server on 127.0.0.1. ``treat`` has each request first."""

    def __init__(self, loop: Loop, kind: str, upstream: int, treat: Treatment, worker: Any) -> None:
        self._kind = kind
        self._upstream = upstream
        self._treat = treat
        self._worker = worker
        self.port = Port(loop, self._serve)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while head := await _head(reader):
            method, target, _ = head[0].split(" ", 2)
            headers = dict(_headers(head[1:]))
            body = await _body(reader, headers)
            request = Request(self._kind, method, target, headers, body, self._worker)
            answer = await self._treat(request, lambda: self._forward(request))  # noqa: B023 - called at once
            await _write_answer(writer, request, answer)
            if answer.cut is not None:
                return

    async def _forward(self, request: Request) -> Answer:
        """Over a connection of its own: whatever the client does meanwhile, the server carries it out."""
        reader, writer = await asyncio.open_connection(HOST, self._upstream)
        try:
            lines = [f"{request.method} {request.target} HTTP/1.1"]
            kept = {k: v for k, v in request.headers.items() if k not in ("connection", "transfer-encoding")}
            lines += [f"{k}: {v}" for k, v in {**kept, "connection": "close"}.items()]
            writer.write("\r\n".join([*lines, "", ""]).encode("latin-1") + request.body)
            await writer.drain()
            head = await _head(reader)
            if not head:
                raise Dropped("the server closed the connection")
            status = int(head[0].split(" ")[1])
            headers = list(_headers(head[1:]))
            has_body = request.method != "HEAD" and status not in (204, 304)
            body = await _body(reader, dict(headers), until_end=True) if has_body else b""
            return Answer(status, headers, body)
        finally:
            writer.close()


async def _head(reader: asyncio.StreamReader) -> list[str]:
    try:
        raw = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return []
    return raw[:-4].decode("latin-1").split("\r\n")


def _headers(lines: list[str]) -> list[tuple[str, str]]:
    return [(name.strip().lower(), value.strip()) for name, _, value in (line.partition(":") for line in lines)]


async def _body(reader: asyncio.StreamReader, headers: dict[str, str], *, until_end: bool = False) -> bytes:
    if headers.get("transfer-encoding", "").lower() == "chunked":
        return await _chunks(reader)
    if "content-length" in headers:
        return await reader.readexactly(int(headers["content-length"]))
    return await reader.read() if until_end else b""


async def _chunks(reader: asyncio.StreamReader) -> bytes:
    whole = b""
    while size := int((await reader.readline()).split(b";")[0], 16):
        whole += await reader.readexactly(size)
        await reader.readline()
    await reader.readline()
    return whole


async def _write_answer(writer: asyncio.StreamWriter, request: Request, answer: Answer) -> None:
    own = ("transfer-encoding", "content-length", "connection")
    lines = [f"HTTP/1.1 {answer.status} X", *(f"{k}: {v}" for k, v in answer.headers if k not in own)]
    if answer.status not in (204, 304):
        lines.append(f"content-length: {len(answer.body)}")
    body = answer.body if request.method != "HEAD" else b""
    head = "\r\n".join([*lines, "", ""]).encode("latin-1")
    if answer.head_cut is not None:
        writer.write(head[: answer.head_cut])
        raise Dropped("cut off within the head")
    whole = head + body[: answer.cut]
    at_once = {"head": 0, "body": len(head)}.get(answer.drip or "", len(whole))
    writer.write(whole[:at_once])
    await writer.drain()
    for byte in whole[at_once:]:
        await asyncio.sleep(DRIP_EVERY_S)
        writer.write(bytes([byte]))
        await writer.drain()
