"""How many calls are under way at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from threading import Semaphore
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


class Hands:
    """So many a process has for calls, whichever messages they are of. Who has many calls asks for one hand after the
    other, so a message of one call waits for no more than one turn of each of the others."""

    def __init__(self, how_many: int) -> None:
        self._free = Semaphore(how_many)
        self._pool = ThreadPoolExecutor(how_many, "call")

    def each(self, work: Callable[[Item], Result], items: Sequence[Item]) -> list[Result]:
        """Work on all of them; the results in their order. What one raises is raised when all are done."""
        *others, last = items
        begun = [self._begin(work, item) for item in others]
        try:
            with self._free:  # the last one, which is the only one of most messages, needs no other thread
                own = work(last)
        finally:
            wait(begun)
        return [*(each.result() for each in begun), own]

    def _begin(self, work: Callable[[Item], Result], item: Item) -> Future[Result]:
        self._free.acquire()
        begun = self._pool.submit(work, item)
        begun.add_done_callback(lambda _: self._free.release())
        return begun
