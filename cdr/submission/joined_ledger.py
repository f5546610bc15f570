"""What the messages that are in hand at once want of the ledger is asked for together.

A message of one call costs a claim, two looks and a settlement; those of a message of many share them. So do messages
that come at the same time: while one asks, the others gather, and the next one asks for all of them. Nobody waits for
company: who is alone asks at once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from threading import Condition
from typing import Generic, TypeVar

from cdr.calls.call import CallKey, Job, Settlement
from cdr.calls.message import Letter
from cdr.submission.ports import CallLedger, Claim, ClaimAnswer, RecordAnswer
from shared.errors import StorageUnavailable

Wanted = TypeVar("Wanted")
Answer = TypeVar("Answer")


class Joined(Generic[Wanted, Answer]):
    """Asks for one thing, together with what other threads want at the same moment.

    ``ask`` answers all of them in their order; it is never under way twice.
    """

    def __init__(self, ask: Callable[[Sequence[Wanted]], Sequence[Answer]]) -> None:
        self._ask = ask
        self._gathered: list[_Asked[Wanted, Answer]] = []
        self._is_asking = False
        self._changed = Condition()

    def ask(self, wanted: Wanted) -> Answer:
        """:raises StorageUnavailable: to all who asked together"""
        mine: _Asked[Wanted, Answer] = _Asked(wanted)
        with self._changed:
            self._gathered.append(mine)
            self._changed.wait_for(lambda: mine.answer.done() or not self._is_asking)
            if mine.answer.done():
                return mine.answer.result()
            together, self._gathered, self._is_asking = self._gathered, [], True
        try:
            self._ask_for(together)
        finally:
            with self._changed:
                self._is_asking = False
                self._changed.notify_all()
        return mine.answer.result()

    def _ask_for(self, together: Sequence[_Asked[Wanted, Answer]]) -> None:
        """A defect that one meets is none of the others'; what storage cannot do it cannot do for any of them."""
        try:
            answered = list(zip(together, self._ask([each.wanted for each in together]), strict=True))
        except BaseException as exc:  # noqa: BLE001 - it is raised where each of them asked
            if len(together) > 1 and not isinstance(exc, StorageUnavailable):
                for one in together:
                    self._ask_for([one])
            else:
                for each in together:
                    each.answer.set_exception(exc)
        else:
            for each, answer in answered:
                each.answer.set_result(answer)


@dataclass(frozen=True, slots=True)
class _Asked(Generic[Wanted, Answer]):
    """What one thread wants, and what it gets."""

    wanted: Wanted
    answer: Future[Answer] = field(default_factory=Future)


class JoinedLedger:
    """A CallLedger that claims and settles for all messages of one call together. One for a process."""

    def __init__(self, ledger: CallLedger) -> None:
        self._ledger = ledger
        self._claims = Joined(self._claim)
        self._ends = Joined(self._settle)

    def claim(self, jobs: Sequence[Job], now: datetime, lease: timedelta) -> Sequence[ClaimAnswer]:
        if len(jobs) > 1:
            return self._ledger.claim(jobs, now, lease)
        return [self._claims.ask((jobs[0], now, lease))]

    def _claim(self, wanted: Sequence[tuple[Job, datetime, timedelta]]) -> Sequence[ClaimAnswer]:
        jobs, moments, leases = zip(*wanted, strict=True)
        return self._ledger.claim(jobs, max(moments), max(leases))

    def settle(self, ends: Sequence[tuple[Claim, Settlement]], now: datetime) -> None:
        if len(ends) != 1:
            self._ledger.settle(ends, now)
        else:
            self._ends.ask((ends[0], now))

    def _settle(self, wanted: Sequence[tuple[tuple[Claim, Settlement], datetime]]) -> Sequence[None]:
        self._ledger.settle([end for end, _ in wanted], max(moment for _, moment in wanted))
        return [None] * len(wanted)

    def give_back(self, claims: Sequence[tuple[Claim, str]], now: datetime) -> None:
        self._ledger.give_back(claims, now)

    def record(self, key: CallKey, letter: Letter | None, settlement: Settlement, now: datetime) -> RecordAnswer:
        return self._ledger.record(key, letter, settlement, now)

    def last_error(self, key: CallKey) -> str | None:
        return self._ledger.last_error(key)
