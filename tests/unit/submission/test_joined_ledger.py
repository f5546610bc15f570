"""Messages that are in hand at once ask the ledger together, and each gets what is its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import timedelta
from threading import Event, Semaphore

import pytest

from cdr.calls.call import State
from cdr.submission.joined_ledger import Joined, JoinedLedger
from cdr.submission.ports import Claim, ClaimAnswer, Recorded
from shared.errors import StorageUnavailable
from tests.contract.ledgers import LEASE, NOW, SKIPPED, SUBMITTED, claimed, make_job
from tests.fakes.ledger import InMemoryLedger
from tests.support.waiting import wait_until

ALL = ["one", "two", "three"]


@dataclass
class Crowd:
    """All of them ask, the others while the first one is being answered. ``asked`` has what was asked together."""

    ask: Callable[[Sequence[str]], Sequence[str]]
    asked: list[Sequence[str]] = field(default_factory=list)
    first_asks: Event = field(default_factory=Event)
    others_ask: Semaphore = field(default_factory=lambda: Semaphore(0))

    def answers(self) -> list[str]:
        """Of each what it gets, be it an error."""
        joined = Joined(self._slow_at_first)

        def answer(wanted: str) -> str:
            if wanted != ALL[0]:
                self.first_asks.wait(10)
                self.others_ask.release()
            try:
                return joined.ask(wanted)
            except (ValueError, StorageUnavailable) as exc:
                return str(exc)

        with ThreadPoolExecutor(len(ALL)) as pool:
            return list(pool.map(answer, ALL))

    def _slow_at_first(self, wanted: Sequence[str]) -> Sequence[str]:
        self.asked.append(wanted)
        if len(self.asked) == 1:
            self.first_asks.set()
            for _ in ALL[1:]:
                self.others_ask.acquire(timeout=10)
        return self.ask(wanted)


def in_capitals(wanted: Sequence[str]) -> Sequence[str]:
    return [each.upper() for each in wanted]


def without_three(wanted: Sequence[str]) -> Sequence[str]:
    if "three" in wanted:
        raise ValueError("a defect")
    return in_capitals(wanted)


def one_alone(wanted: Sequence[str]) -> Sequence[str]:
    if len(wanted) > 1:
        raise StorageUnavailable("away")
    return in_capitals(wanted)


def first_answer_alone(wanted: Sequence[str]) -> Sequence[str]:
    return in_capitals(wanted)[:1]


def who_met(crowds: list[Crowd], ask: Callable[[Sequence[str]], Sequence[str]]) -> Callable[[], list[str] | None]:
    """To be repeated until the two others asked together: between being about to ask and asking, one may be late."""

    def meet() -> list[str] | None:
        crowd = Crowd(ask)
        answers = crowd.answers()
        crowds.append(crowd)
        return answers if any(len(wanted) == 2 for wanted in crowd.asked) else None

    return meet


@pytest.mark.parametrize(
    ("ask", "answers"),
    [
        (in_capitals, ["ONE", "TWO", "THREE"]),
        (without_three, ["ONE", "TWO", "a defect"]),
        (one_alone, ["ONE", "away", "away"]),
        (first_answer_alone, ["ONE", "TWO", "THREE"]),
    ],
    ids=["what is its own", "a defect that it meets", "what storage cannot do for all", "its own where one was lost"],
)
def test_who_asks_while_another_one_is_answered_is_asked_for_with_the_others_and_gets(
    ask: Callable[[Sequence[str]], Sequence[str]], answers: list[str]
) -> None:
    crowds: list[Crowd] = []
    assert wait_until(who_met(crowds, ask)) == answers
    assert crowds[-1].asked[0] == ["one"], "who is alone does not wait for company"


def test_who_asks_after_another_one_has_failed_is_answered() -> None:
    joined = Joined(without_three)
    with pytest.raises(ValueError, match="a defect"):
        joined.ask("three")
    assert joined.ask("one") == "ONE"


def test_each_message_gets_its_claim_for_as_long_as_if_it_were_alone_and_its_end_is_recorded() -> None:
    kept = InMemoryLedger()
    ledger = JoinedLedger(kept)
    jobs = [make_job(n % 20) for n in range(40)]  # each call has two messages

    def work(number: int) -> ClaimAnswer:
        now, job = NOW + timedelta(milliseconds=number), jobs[number]
        (answer,) = ledger.claim([job], now, LEASE)
        if isinstance(answer, Claim):
            assert answer.key == job.key
            assert kept.records[job.key].claimed_until >= now + LEASE
            ledger.settle([(answer, SUBMITTED)], now)
        return answer

    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(work, range(40)))
    assert sorted(answer.key.name for answer in answers if isinstance(answer, Claim)) == sorted(
        job.key.name for job in jobs[:20]
    )
    assert {record.state for record in kept.records.values()} == {State.SUBMITTED}


def test_what_one_message_wants_for_several_calls_and_all_else_is_asked_at_once() -> None:
    kept = InMemoryLedger()
    ledger, jobs = JoinedLedger(kept), [make_job(1), make_job(2)]
    claims = [answer for answer in ledger.claim(jobs, NOW, LEASE) if isinstance(answer, Claim)]
    ledger.settle([], NOW)
    ledger.give_back([(claims[0], "why")], NOW)
    assert ledger.last_error(jobs[0].key) == "why"
    ledger.settle([(claimed(ledger, jobs[0]), SKIPPED), (claims[1], SKIPPED)], NOW)
    assert isinstance(ledger.record(make_job(3).key, None, SKIPPED, NOW), Recorded)
    assert {record.state for record in kept.records.values()} == {State.SKIPPED}
