"""What a worker process remembers: that the API is down, how much was rejected lately, and what people were told."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Barrier

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdr.calls.call import CallKey
from cdr.submission.breakers import ApiBreaker, OnceAMinute, RejectionBreaker
from cdr.wiring.times import Times
from tests.fakes.clock import HandMovedClock
from tests.support.workshop import NOON

SECOND, MINUTE = timedelta(seconds=1), timedelta(minutes=1)
MOMENT = timedelta(milliseconds=1)
CALLS = [CallKey("2026-11-22", f"call-{number}") for number in range(5)]
THREADS = 8


@pytest.fixture
def breaker() -> ApiBreaker:
    return Times().api_breaker()


def tries(breaker: ApiBreaker, seconds: int) -> list[float]:
    """When somebody gets through who asks twice a second."""
    moments = [NOON + n * SECOND / 2 for n in range(2 * seconds)]
    return [(moment - NOON).total_seconds() for moment in moments if breaker.may_try(moment)]


# The API's


def test_while_nothing_has_failed_everybody_may_try(breaker: ApiBreaker) -> None:
    assert len(tries(breaker, 3)) == 6
    assert not breaker.is_down(NOON)


def test_while_the_api_is_down_one_every_five_seconds_may_try(breaker: ApiBreaker) -> None:
    breaker.failed(NOON, "503")
    assert breaker.is_down(NOON)
    assert tries(breaker, 21) == [5, 10, 15, 20]


def test_a_failed_probe_starts_the_five_seconds_anew(breaker: ApiBreaker) -> None:
    breaker.failed(NOON, "503")
    assert breaker.may_try(NOON + 5 * SECOND)
    breaker.failed(NOON + 8 * SECOND, "503")  # the probe took three seconds
    assert not breaker.may_try(NOON + 13 * SECOND - MOMENT)
    assert breaker.may_try(NOON + 13 * SECOND)


@pytest.mark.parametrize(
    "fail", [lambda b: b.failed(NOON, "503"), lambda b: [b.failed_at(c, NOON, "500") for c in CALLS]]
)
def test_the_first_success_opens_the_way_for_all(breaker: ApiBreaker, fail: Callable[[ApiBreaker], object]) -> None:
    fail(breaker)
    breaker.succeeded(NOON)
    assert len(tries(breaker, 3)) == 6
    breaker.failed_at(CALLS[0], NOON, "500")
    assert not breaker.is_down(NOON), "whom it failed before does not count any more"


def test_calls_at_which_it_failed_long_ago_are_no_row_of_failures(breaker: ApiBreaker) -> None:
    for call in CALLS[:-1]:
        breaker.failed_at(call, NOON, "500")
    breaker.failed_at(CALLS[-1], NOON + breaker.forget_after, "500")
    assert not breaker.is_down(NOON + breaker.forget_after)
    for call in CALLS[:-1]:
        breaker.failed_at(call, NOON + 2 * breaker.forget_after - MOMENT, "500")
    assert breaker.is_down(NOON + 2 * breaker.forget_after)


def test_a_failure_that_nobody_has_seen_again_for_longer_than_any_delay_is_forgotten(breaker: ApiBreaker) -> None:
    breaker.failed(NOON, "503")
    assert breaker.is_down(NOON + 6 * MINUTE - MOMENT)
    assert not breaker.is_down(NOON + 6 * MINUTE)


@pytest.mark.parametrize(
    ("asked_for", "first_probe_s"),
    [
        (None, 5),
        (timedelta(seconds=-40), 5),
        (2 * SECOND, 5),
        (40 * SECOND, 40),
        (10 * MINUTE, 600),
        (timedelta(days=3), 1800),
    ],
    ids=["nothing", "the past", "less than usual", "more", "longer than a failure is remembered", "too much"],
)
def test_no_probe_is_sent_before_the_time_that_the_api_asks_for_within_reason(
    breaker: ApiBreaker, asked_for: timedelta | None, first_probe_s: int
) -> None:
    breaker.failed(NOON, "429", wait=asked_for)
    breaker.failed(NOON, "and another worker's")
    first = NOON + first_probe_s * SECOND
    assert breaker.is_down(first - MOMENT)
    assert not breaker.may_try(first - MOMENT)
    assert breaker.may_try(first)


def test_what_several_calls_are_asked_to_wait_is_waited_for_by_all(breaker: ApiBreaker) -> None:
    for each in CALLS:
        assert breaker.may_try(NOON)
        breaker.failed_at(each, NOON, "503", wait=10 * MINUTE)
    assert not breaker.may_try(NOON + 10 * MINUTE - MOMENT)
    assert breaker.may_try(NOON + 10 * MINUTE)


def test_what_gets_in_meanwhile_does_not_shorten_the_time_that_the_api_asks_for(breaker: ApiBreaker) -> None:
    breaker.failed(NOON, "429", wait=40 * SECOND)
    breaker.succeeded(NOON)
    assert not breaker.may_try(NOON + 40 * SECOND - MOMENT)
    assert breaker.may_try(NOON + 40 * SECOND)
    breaker.succeeded(NOON)
    assert not breaker.is_down(NOON + 40 * SECOND)


def test_for_a_minute_after_a_success_nobody_need_ask_how_the_api_is(breaker: ApiBreaker) -> None:
    assert not breaker.has_just_succeeded(NOON)
    breaker.succeeded(NOON)
    assert breaker.has_just_succeeded(NOON + MINUTE - MOMENT)
    assert not breaker.has_just_succeeded(NOON + MINUTE)


@given(st.lists(st.integers(0, 3), max_size=60))
def test_up_to_four_calls_that_always_fail_never_close_the_door(failing: list[int]) -> None:
    breaker = Times().api_breaker()
    for n, number in enumerate(failing):
        assert breaker.may_try(NOON + n * SECOND)
        breaker.failed_at(CALLS[number], NOON + n * SECOND, "500")
    assert not breaker.is_down(NOON + len(failing) * SECOND)


def test_five_different_calls_in_a_row_close_it(breaker: ApiBreaker) -> None:
    for call in [*CALLS[:4], CALLS[0]]:
        breaker.failed_at(call, NOON, "the API answered 500")
        assert breaker.may_try(NOON)
    breaker.failed_at(CALLS[4], NOON, "the API answered 500")
    assert not breaker.may_try(NOON)
    assert breaker.last_failure == "the API answered 500"


def test_of_many_threads_only_one_is_the_probe_and_no_more_than_the_limit_reject(breaker: ApiBreaker) -> None:
    breaker.failed(NOON, "503")
    rejections = RejectionBreaker(5)
    assert sum(_at_once(lambda: breaker.is_down(NOON) and breaker.may_try(NOON + 5 * SECOND))) == 1
    assert sum(_at_once(lambda: rejections.allows(NOON))) == 5


# Rejections


def test_each_rejection_makes_room_again_a_minute_later() -> None:
    breaker = RejectionBreaker(2)
    moments = [0, 30, 59.9, 60, 61, 90]
    assert [breaker.allows(NOON + s * SECOND) for s in moments] == [True, True, False, True, False, True]


@given(st.integers(0, 5), st.lists(st.integers(0, 40), max_size=40))
def test_in_no_minute_more_than_the_limit_is_rejected(per_minute: int, pauses_s: list[int]) -> None:
    clock, breaker = HandMovedClock(NOON), RejectionBreaker(per_minute)
    allowed = []
    for pause in pauses_s:
        clock.sleep(pause)
        if breaker.allows(clock.now()):
            allowed.append(clock.now())
    for first, too_many in zip(allowed, allowed[per_minute:], strict=False):
        assert too_many - first >= MINUTE


# What people are told


def test_people_are_told_at_once_and_then_once_a_minute() -> None:
    news = OnceAMinute()
    told = [second for second in range(0, 200, 7) if news.is_due(NOON + second * SECOND)]
    assert told == [0, 63, 126, 189]


def _at_once(ask: Callable[[], bool]) -> list[bool]:
    barrier = Barrier(THREADS)

    def wait_and_ask(_: int) -> bool:
        barrier.wait(timeout=10)
        return ask()

    with ThreadPoolExecutor(THREADS) as pool:
        return list(pool.map(wait_and_ask, range(THREADS)))
