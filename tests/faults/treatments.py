"""Ways to treat a request badly, and how to say which request it is."""

from __future__ import annotations

import asyncio
import random
import threading
from collections.abc import Callable, Collection
from dataclasses import dataclass, field

from tests.faults.proxies import Answer, Dropped, Forward, Request, Treatment

Wanted = Callable[[Request], bool]


def of_kind(*kinds: str) -> Wanted:
    return lambda request: request.kind in kinds


def has_effect(request: Request) -> bool:
    """Not a look at a queue: an idle worker takes them all the time."""
    return not (request.kind == "queue" and request.method == "GET") and "-poison" not in request.target


@dataclass
class Faults:
    """What happens to the requests of one site. ``injected`` counts how often something did."""

    injected: int = 0
    _active: list[tuple[Wanted, Treatment]] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, wanted: Wanted, treatment: Treatment) -> None:
        """Treat the requests that are wanted, the earliest fault first."""
        with self._lock:
            self._active.append((wanted, treatment))

    def clear(self) -> None:
        with self._lock:
            self._active.clear()

    async def treat(self, request: Request, forward: Forward) -> Answer:
        with self._lock:
            found = next((treatment for wanted, treatment in self._active if wanted(request)), None)
        return await (found(request, forward) if found else forward())

    def counted(self, act: Treatment) -> Treatment:
        """The same treatment, counted as an injection."""

        async def treat(request: Request, forward: Forward) -> Answer:
            self.injected += 1
            return await act(request, forward)

        return treat

    def at(self, wanted: Collection[int], act: Treatment) -> Treatment:
        """Only the requests with these numbers are treated."""
        seen = 0

        async def treat(request: Request, forward: Forward) -> Answer:
            nonlocal seen
            seen += 1
            return await (self.counted(act)(request, forward) if seen in wanted else forward())

        return treat

    def often(self, share: float, rng: random.Random, act: Treatment, *, always: int = 0) -> Treatment:
        """A share of the requests, by lot; and the one with the number ``always``, so that there is one."""
        seen = 0

        async def treat(request: Request, forward: Forward) -> Answer:
            nonlocal seen
            seen += 1
            is_hit = rng.random() < share or seen == always
            return await (self.counted(act)(request, forward) if is_hit else forward())

        return treat

    def at_most(self, times: int, act: Treatment) -> Treatment:
        """The first so many requests."""
        left = times

        async def treat(request: Request, forward: Forward) -> Answer:
            nonlocal left
            left -= 1
            return await (self.counted(act)(request, forward) if left >= 0 else forward())

        return treat


async def kill_before(request: Request, _: Forward) -> Answer:
    """The worker dies when the request has come in; nobody carries it out."""
    request.worker.kill()
    raise Dropped


async def kill_after(request: Request, forward: Forward) -> Answer:
    """The request is carried out, and the worker dies before it hears of it."""
    await forward()
    request.worker.kill()
    raise Dropped


async def reset_before(_: Request, __: Forward) -> Answer:
    raise Dropped


async def reset_after(_: Request, forward: Forward) -> Answer:
    """Carried out, but the answer is lost."""
    await forward()
    raise Dropped


async def truncate(_: Request, forward: Forward) -> Answer:
    """Carried out; the head and half of the body of the answer arrive."""
    answer = await forward()
    return Answer(answer.status, answer.headers, answer.body, cut=len(answer.body) // 2)


def refuse(status: int, code: str = "", headers: dict[str, str] | None = None, *, body: bytes = b"") -> Treatment:
    """Not carried out; this answer instead. ``code`` is how the storage services name their errors."""
    text = body or (
        f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>x</Message></Error>".encode() if code else b""
    )
    named = {"x-ms-error-code": code} if code else {}
    lines = {"content-type": "application/xml"} | (headers or {}) | named

    async def treat(_: Request, __: Forward) -> Answer:
        return Answer(status, list(lines.items()), text)

    return treat


def slow(seconds: Callable[[], float]) -> Treatment:
    """Carried out after a while, whether or not the client still waits."""

    async def treat(_: Request, forward: Forward) -> Answer:
        await asyncio.sleep(seconds())
        return await forward()

    return treat


def slow_answer(seconds: float) -> Treatment:
    """Carried out at once, answered after a while."""

    async def treat(_: Request, forward: Forward) -> Answer:
        answer = await forward()
        await asyncio.sleep(seconds)
        return answer

    return treat
