"""The two brakes of a worker process."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from threading import Barrier

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdr.submission.breakers import FORGET_AFTER, PROBE_EVERY, ApiWatch, RejectionLimit
from cdr.submission.submit import LONGEST_DELAY
from shared.clock import HandMovedClock

NOON = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
THREADS = 8
SECOND = timedelta(seconds=1)
MOMENT = timedelta(milliseconds=1)


@pytest.fixture
def watch() -> ApiWatch:
    return ApiWatch()


def test_everybody_may_try_while_nothing_has_failed(watch: ApiWatch) -> None:
    assert [watch.may_try(NOON) for _ in range(3)] == [True, True, True]
    assert not watch.is_down(NOON)


def test_right_after_a_failure_nobody_may_try(watch: ApiWatch) -> None:
    watch.failed(NOON, "503")
    assert watch.is_down(NOON)
    assert not watch.may_try(NOON + PROBE_EVERY - MOMENT)


def test_while_the_api_is_down_one_message_every_five_seconds_may_try(watch: ApiWatch) -> None:
    watch.failed(NOON, "503")
    asked = [NOON + n * SECOND / 2 for n in range(1, 61)]
    allowed = [(moment - NOON).total_seconds() for moment in asked if watch.may_try(moment)]
    assert allowed == [5, 10, 15, 20, 25, 30]


def test_asking_whether_the_api_is_down_uses_no_probe_up(watch: ApiWatch) -> None:
    watch.failed(NOON, "503")
    later = NOON + PROBE_EVERY
    assert watch.is_down(later)
    assert watch.may_try(later)


def test_a_failed_probe_starts_the_five_seconds_anew(watch: ApiWatch) -> None:
    watch.failed(NOON, "503")
    assert watch.may_try(NOON + 5 * SECOND)
    watch.failed(NOON + 8 * SECOND, "503")  # the probe took three seconds
    assert not watch.may_try(NOON + 12 * SECOND)
    assert watch.may_try(NOON + 13 * SECOND)


def test_the_first_success_opens_the_way_for_all(watch: ApiWatch) -> None:
    watch.failed(NOON, "503")
    watch.succeeded()
    assert not watch.is_down(NOON)
    assert [watch.may_try(NOON) for _ in range(3)] == [True, True, True]


def test_a_failure_that_nobody_has_seen_again_for_longer_than_any_delay_is_forgotten(watch: ApiWatch) -> None:
    watch.failed(NOON, "503")
    assert watch.is_down(NOON + FORGET_AFTER - MOMENT)
    assert not watch.is_down(NOON + FORGET_AFTER)
    assert [watch.may_try(NOON + FORGET_AFTER) for _ in range(3)] == [True, True, True]


def test_no_message_is_put_back_for_so_long_that_the_failure_is_forgotten_before_it_comes_again() -> None:
    assert LONGEST_DELAY < FORGET_AFTER <= 2 * LONGEST_DELAY


def test_the_last_failure_is_remembered_in_words(watch: ApiWatch) -> None:
    watch.failed(NOON, "the API answered 503")
    watch.failed(NOON, "the API cannot be reached")
    assert watch.last_failure == "the API cannot be reached"


def test_of_many_threads_only_one_is_the_probe(watch: ApiWatch) -> None:
    watch.failed(NOON, "503")
    assert sum(_at_once(lambda: watch.may_try(NOON + PROBE_EVERY))) == 1


def test_so_many_calls_may_be_rejected_in_a_minute_and_no_more() -> None:
    limit = RejectionLimit(3)
    assert [limit.allows(NOON + n * SECOND) for n in range(5)] == [True, True, True, False, False]


def test_each_rejection_makes_room_again_a_minute_later() -> None:
    limit = RejectionLimit(2)
    assert limit.allows(NOON)
    assert limit.allows(NOON + 30 * SECOND)
    assert not limit.allows(NOON + 60 * SECOND - MOMENT)
    assert limit.allows(NOON + 60 * SECOND)
    assert not limit.allows(NOON + 61 * SECOND)
    assert limit.allows(NOON + 90 * SECOND)


def test_threads_together_get_no_more_than_the_limit() -> None:
    limit = RejectionLimit(5)
    assert sum(_at_once(lambda: limit.allows(NOON))) == 5


@given(st.integers(1, 5), st.lists(st.integers(0, 40), max_size=40))
def test_in_no_minute_more_than_the_limit_is_rejected(per_minute: int, pauses_s: list[int]) -> None:
    clock, limit = HandMovedClock(NOON), RejectionLimit(per_minute)
    allowed = []
    for pause in pauses_s:
        clock.sleep(pause)
        if limit.allows(clock.now()):
            allowed.append(clock.now())
    for first, too_many in zip(allowed, allowed[per_minute:], strict=False):
        assert too_many - first >= timedelta(minutes=1)


def _at_once(ask) -> list[bool]:
    barrier = Barrier(THREADS)

    def wait_and_ask(_: int) -> bool:
        barrier.wait(timeout=10)
        return ask()

    with ThreadPoolExecutor(THREADS) as pool:
        return list(pool.map(wait_and_ask, range(THREADS)))
