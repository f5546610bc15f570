"""What is made when it is first asked for."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from threading import RLock
from typing import Any, Self, TypeVar, overload

Part = TypeVar("Part")


class once(cached_property[Part]):  # noqa: N801 - it reads as what it is derived from
    """Made once, whichever threads ask at the same time: from Python 3.12 on a cached_property makes one for each of
    them, and two breakers, or two credentials with a token each, know half as much.

    There is one lock for each name, whichever object has it. That cannot come to a standstill, since no part needs one
    that needs it; but where to make one takes a while, all who ask wait for it.
    """

    def __init__(self, make: Callable[[Any], Part]) -> None:
        super().__init__(make)
        self._one_at_a_time = RLock()

    @overload
    def __get__(self, instance: None, owner: type[Any] | None = None) -> Self: ...

    @overload
    def __get__(self, instance: object, owner: type[Any] | None = None) -> Part: ...

    def __get__(self, instance: object, owner: type[Any] | None = None) -> Self | Part:
        if instance is None:
            return self
        with self._one_at_a_time:
            made: dict[str, Part] = vars(instance)
            return made[self.attrname] if self.attrname in made else super().__get__(instance, owner)
