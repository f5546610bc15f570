"""A gateway between the workers and the API: with a patience of its own, and pages of its own."""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass, field

from tests.faults.proxies import Answer, Dropped, Forward

PATIENCES_S = (0.7, 0.9, 5.0)
"""Shorter than the workers' (``api.timeout_seconds``), or longer."""

TIMED_OUT = (408, 500, 502, 503, 504, 522, 524)
BROKEN = (500, 502, 503, 520, 521, 523)
"""What such gateways say when no answer came in time, and when none can come."""

SERVER_ERROR = 500

PAGES = (
    ("text/html", b"<html><h1>Something went wrong</h1></html>"),
    ("text/plain", b"error code: 1001"),
    ("application/json", b'{"message": "upstream request failed"}'),
)


@dataclass
class Gateway:
    """``shows_resets``: a connection that breaks behind it breaks before it too; otherwise there is a page."""

    rng: random.Random
    patience_s: float
    shows_resets: bool = True
    _at_work: set[asyncio.Future[Answer]] = field(default_factory=set)

    @classmethod
    def by_lot(cls, rng: random.Random) -> Gateway:
        return cls(rng, rng.choice(PATIENCES_S), rng.random() < 0.5)

    async def pass_on(self, forward: Forward) -> Answer:
        """What it has passed on is carried out, whether or not it still waits for it."""
        work = asyncio.ensure_future(forward())
        self._at_work.add(work)
        work.add_done_callback(self._over)
        done, _ = await asyncio.wait([work], timeout=self.patience_s)
        if not done:
            return self.page(self.rng.choice(TIMED_OUT))
        try:
            return work.result()
        except (Dropped, OSError) as exc:
            if self.shows_resets:
                raise Dropped from exc
            return self.page(self.rng.choice(BROKEN))

    def page(self, status: int) -> Answer:
        """Never a 500 in JSON, which is the API's word."""
        kind, body = self.rng.choice(PAGES if status != SERVER_ERROR else PAGES[:-1])
        return Answer(status, [("content-type", kind), ("server", "gateway")], body)

    def _over(self, work: asyncio.Future[Answer]) -> None:
        self._at_work.discard(work)
        if not work.cancelled():
            work.exception()  # nobody may have waited for it
