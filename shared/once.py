"""What is made when it is first asked for."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from functools import cached_property
from threading import Lock
from typing import Any, Generic, Self, TypeVar, overload

Part = TypeVar("Part")


class Together(Generic[Part]):
    """Of those who ask at the same time one does it, for all: what it raises is theirs too. So where it takes long to
    fail, nobody waits for more than one failure."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._under_way: dict[int, Future[Part]] = {}

    def do(self, act: Callable[[], Part], of: object) -> Part:
        """:param of: whose it is; it lives for as long as this takes"""
        with self._lock:
            others = self._under_way.get(id(of))
            mine = self._under_way.setdefault(id(of), Future())
        if others is not None:
            return others.result()
        try:
            mine.set_result(act())
        except BaseException as exc:  # noqa: BLE001 - raised by the result, here as well
            mine.set_exception(exc)
        finally:
            with self._lock:
                del self._under_way[id(of)]
        return mine.result()


class once(cached_property[Part]):  # noqa: N801 - it reads as what it is derived from
    """Made once, whichever threads ask at the same time: from Python 3.12 on a cached_property makes one for each of
    them, and two breakers, or two credentials with a token each, know half as much.

    Where to make one takes a while, all who ask wait for it. That cannot come to a standstill, since no part needs one
    that needs it.
    """

    def __init__(self, make: Callable[[Any], Part]) -> None:
        super().__init__(make)
        self._together = Together[Part]()

    @overload
    def __get__(self, instance: None, owner: type[Any] | None = None) -> Self: ...

    @overload
    def __get__(self, instance: object, owner: type[Any] | None = None) -> Part: ...

    def __get__(self, instance: object, owner: type[Any] | None = None) -> Self | Part:
        if instance is None:
            return self
        made: dict[str, Part] = vars(instance)
        usual = super().__get__

        def make() -> Part:
            return made[self.attrname] if self.attrname in made else usual(instance, owner)

        return self._together.do(make, instance)
