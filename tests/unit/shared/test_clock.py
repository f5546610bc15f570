"""The real time: even, never back, and the same for all who hear the same clock."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.clock import SystemClock, ticks

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)


@dataclass
class Machine:
    """A computer whose clock is wrong by so much; what it shows changes nothing once a SystemClock was made."""

    wrong_by: timedelta = timedelta()
    passed_s: float = 0.0

    def __post_init__(self) -> None:
        self.clock = SystemClock(lambda: NOON + self.wrong_by, lambda: self.passed_s)

    @property
    def error(self) -> timedelta:
        return self.clock.now() - (NOON + timedelta(seconds=self.passed_s))

    def hear(self, took_s: float = 0.0, *, wrong_by: timedelta = timedelta()) -> None:
        """Of a server whose clock is right, unless it is said otherwise, and which says what it shows midway."""
        midway = NOON + wrong_by + timedelta(seconds=self.passed_s + took_s / 2)
        self.passed_s += took_s
        self.clock.hear(midway.replace(microsecond=0), timedelta(seconds=took_s))


def test_without_another_clock_it_goes_by_the_systems_from_when_it_was_made() -> None:
    assert abs(SystemClock().now() - datetime.now(UTC)) < SECOND
    machine = Machine()
    machine.passed_s = 90
    assert machine.clock.now() == NOON + timedelta(seconds=90)
    assert not machine.clock.has_heard
    assert ticks() <= ticks()


@pytest.mark.parametrize("minutes", [-300, -5, 0, 5, 300])
def test_it_believes_the_other_clock_at_once(minutes: int) -> None:
    machine = Machine(timedelta(minutes=minutes))
    machine.clock.now()
    machine.hear(took_s=0.1)
    assert abs(machine.error) <= 1.1 * SECOND
    assert machine.clock.has_heard


def test_a_single_wrong_word_later_on_moves_it_by_no_more_than_a_second() -> None:
    machine = Machine()
    machine.hear()
    for wrong_by in (timedelta(hours=1), timedelta(hours=-1)):
        machine.hear(wrong_by=wrong_by)
        assert abs(machine.error) <= SECOND
        machine.passed_s += 2


@given(
    st.lists(st.timedeltas(-timedelta(hours=9), timedelta(hours=9)), min_size=2, max_size=4),
    st.lists(st.tuples(st.integers(0, 3), st.floats(0, 2), st.floats(0, 500)), max_size=30),
)
def test_machines_that_hear_the_same_clock_agree_and_none_goes_back(
    skews: list[timedelta], words: list[tuple[int, float, float]]
) -> None:
    machines = [Machine(skew) for skew in skews]
    for machine in machines:
        machine.hear(took_s=2)
    for number, took_s, passed_s in words:
        machine = machines[number % len(machines)]
        before = machine.clock.now()
        machine.passed_s += passed_s
        machine.hear(took_s)
        assert machine.clock.now() >= before
    assert max(abs(machine.error) for machine in machines) <= 3 * SECOND
