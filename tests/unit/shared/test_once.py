"""A part is made once, and by nobody else while it is being made."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from shared.once import once


class Workbench:
    """``part`` takes until the second one asks for it."""

    def __init__(self) -> None:
        self.made: list[object] = []
        self.second_asks = threading.Event()

    @once
    def part(self) -> object:
        assert self.second_asks.wait(10)
        self.made.append(object())
        return self.made[-1]

    @once
    def other(self) -> tuple[object, str]:
        return self.part, "other"

    def ask_second(self) -> object:
        self.second_asks.set()
        return self.part


def test_who_asks_while_a_part_is_being_made_gets_the_same_one() -> None:
    bench = Workbench()
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(lambda: bench.other)
        second = pool.submit(bench.ask_second)
        assert first.result(10) == (second.result(10), "other")
    assert bench.made == [bench.part]


def test_what_is_handed_in_is_not_made() -> None:
    bench = Workbench()
    bench.part = "handed in"
    assert bench.other == ("handed in", "other")
    assert bench.made == []


def test_who_asks_while_a_part_takes_long_to_fail_fails_with_it_and_waits_for_no_other_failure() -> None:
    many, tries = 8, list[int]()
    at_once, never = threading.Barrier(many), threading.Event()

    class Broken:
        @once
        def part(self) -> object:
            tries.append(1)
            never.wait(0.2)
            raise LookupError

    broken = Broken()

    def ask(_: int) -> object:
        at_once.wait(10)
        return broken.part

    with ThreadPoolExecutor(many) as pool:
        asked = [pool.submit(ask, n) for n in range(many)]
        assert {type(each.exception(10)) for each in asked} == {LookupError}
    before = len(tries)
    assert before <= many / 2
    with pytest.raises(LookupError):
        _ = broken.part
    assert len(tries) == before + 1, "the next one tries again"
