"""An end for work that has none of its own: some drivers wait for a silent line as long as it stays silent."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Generic, TypeVar

T = TypeVar("T")


class OutOfTime(TimeoutError):
    """The work has not ended, and is left to itself."""


@dataclass
class _Work(Generic[T]):
    do: Callable[[], T]
    clean_up: Callable[[T | None], object]
    has_ended: threading.Event = field(default_factory=threading.Event)
    decides: threading.Lock = field(default_factory=threading.Lock)
    is_given_up: bool = False
    result: T | None = None
    error: BaseException | None = None

    def run(self) -> None:
        try:
            self.result = self.do()
        except BaseException as exc:  # noqa: BLE001 - it is raised where the work is waited for
            self.error = exc
        with self.decides:
            self.has_ended.set()
            is_late = self.is_given_up
        if is_late:
            with suppress(Exception):
                self.clean_up(self.result)

    def give_up(self) -> bool:
        """:returns: False if it has ended meanwhile"""
        with self.decides:
            self.is_given_up = not self.has_ended.is_set()
        return self.is_given_up


def within(seconds: float, do: Callable[[], T], clean_up: Callable[[T | None], object] = lambda _: None) -> T:
    """What the work returns or raises. After the time it is left to itself, on a thread that keeps no process alive; it
    cleans up once it ends.

    :raises OutOfTime: it has not ended
    """
    work = _Work(do, clean_up)
    threading.Thread(target=work.run, name="bounded", daemon=True).start()
    if not work.has_ended.wait(seconds) and work.give_up():
        raise OutOfTime(f"no answer within {seconds:g} s")
    if work.error is not None:
        raise work.error
    return work.result  # type: ignore[return-value]  # it has ended without an error
