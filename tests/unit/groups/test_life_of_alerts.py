"""The promises about alerts, for any history: groups fill and empty, people interfere, parts fail, processes die.

Outages and deaths are put between the check and its twins, where a process meets them.
"""

from __future__ import annotations

import logging
from collections import defaultdict, deque
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from cdr.groups.alerts import AlertPolicy, AlertType, GroupRecord, GroupState
from cdr.groups.check import GroupCheck, GroupsOutcome, check
from cdr.groups.hours import Hours
from cdr.groups.notices import WatchedGroup
from cdr.wiring.times import Times
from shared.errors import (
    ApiDenied,
    ApiUnavailable,
    ApiUnreachable,
    NoticeFailed,
    SourceMisconfigured,
    SourceUnavailable,
)
from tests.fakes.clock import HandMovedClock
from tests.fakes.groups import InMemoryAlertApi, InMemoryGroupStore, InMemoryMemberSource, InMemoryNotifier

TIMES = Times()
LEASE = TIMES.groups_lease
NOBODY = AlertType.NO_ASSIGNED_USERS
OF_THE_API = ("active", "raise_alert", "resolve")
GROUPS = ("800", "801", "802")
SIGHTS: Mapping[str, dict[str, bool | None] | str | None] = {
    "staffed": {"101": True, "102": False},
    "half known but staffed": {"101": True, "102": None},
    "empty": {"101": False},
    "without members": {},
    "half known": {"101": False, "102": None},
    "unknown": "the phone system says nothing of it",
    "missing": None,
}
STAFFED = ("staffed", "half known but staffed")
EMPTY = ("empty", "without members")
GRACE, BLIND_AFTER = timedelta(minutes=4), timedelta(minutes=15)

names = st.sampled_from(GROUPS)
api_failures = st.tuples(
    st.sampled_from([ApiUnavailable("500"), ApiUnreachable("outage"), ApiDenied("401")]), st.booleans()
)
source_failures = st.sampled_from([SourceUnavailable("outage"), SourceMisconfigured("no such table")])


class Killed(BaseException):
    """The process is gone: it does nothing any more, not even what stands behind a finally."""


class Line:
    """What a check's every step goes through. ``failures`` has what befalls the next steps of a name: nothing, or an
    error and whether the step was carried out all the same."""

    def __init__(self, clock: HandMovedClock) -> None:
        self.clock = clock
        self.steps = 0
        self.failures: Mapping[str, deque[tuple[Exception, bool] | None]] = defaultdict(deque)
        self.kill_at: tuple[int, bool] | None = None
        """The step at which the process dies, and whether that one was still carried out."""
        self.is_dead = False
        self.slow = timedelta()
        self.before_each: Callable[[str, tuple[Any, ...]], object] = lambda name, arguments: None

    def to(self, twin: object) -> Any:
        return _Wired(self, twin)

    def call(self, name: str, operation: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
        if self.is_dead:
            raise Killed
        self.steps += 1
        self.before_each(name, arguments)
        self.is_dead = self.kill_at is not None and self.kill_at[0] == self.steps
        failure = self.failures[name].popleft() if self.failures[name] else None
        carried_out = self.kill_at[1] if self.is_dead and self.kill_at else failure is None or failure[1]
        answer = operation(*arguments) if carried_out else None
        if name in (*OF_THE_API, "observe"):
            self.clock.move(self.slow)
        if self.is_dead:
            raise Killed
        if failure is not None:
            raise failure[0]
        return answer


class _Wired:
    def __init__(self, line: Line, twin: object) -> None:
        self._line, self._twin = line, twin

    def __getattr__(self, name: str) -> Any:
        return lambda *arguments: self._line.call(name, getattr(self._twin, name), arguments)


class Switch(Hours):
    """Business hours that a test opens and closes."""

    is_on = True

    def is_open(self, now: datetime) -> bool:
        return self.is_on


class LifeOfAlerts(RuleBasedStateMachine):
    @initialize(grace=st.sampled_from([timedelta(), GRACE]))
    def begin(self, grace: timedelta) -> None:
        self.clock = HandMovedClock(datetime(2026, 11, 23, 12, 0, tzinfo=UTC))
        self.members, self.notifier, self.store = InMemoryMemberSource(), InMemoryNotifier(), InMemoryGroupStore()
        self.api = InMemoryAlertApi()
        self.api.call_logger.now = self.clock.now
        self.policy = AlertPolicy(grace, BLIND_AFTER, timedelta(hours=1))
        self.hours = {name: Switch(ZoneInfo("UTC"), {}) for name in GROUPS}
        self.sight: dict[str, str] = {}
        self.monitored = set(GROUPS)
        self.not_of_this_episode: dict[str, set[str]] = {name: set() for name in GROUPS}
        self.ended_by_hand = dict.fromkeys(GROUPS, False)
        for name in GROUPS:
            self.see(name, "staffed")

    # What happens outside

    @rule(name=names, sight=st.sampled_from(sorted(SIGHTS)))
    def see(self, name: str, sight: str) -> None:
        self.sight[name] = sight
        self.members.unknown.pop(name, None)
        self.members.groups.pop(name, None)
        match SIGHTS[sight]:
            case str(reason):
                self.members.unknown[name] = reason
            case dict(available):
                self.members.put(name, available)

    @rule(name=names, is_on=st.booleans())
    def hours_begin_or_end(self, name: str, *, is_on: bool) -> None:
        self.hours[name].is_on = is_on

    @rule(name=names)
    def stop_or_begin_to_monitor(self, name: str) -> None:
        self.monitored ^= {name}

    @rule(minutes=st.sampled_from([1, 5, 16, 61]))
    def time_passes(self, minutes: int) -> None:
        self.clock.move(timedelta(minutes=minutes))

    @rule(name=names)
    def somebody_ends_the_alert_by_hand(self, name: str) -> None:
        """One that we know of: what is ended before anybody noted it, nobody can tell from what never was."""
        known = self.store.records.get(name, GroupRecord()).alert
        for found in self.active(name):
            if known is not None and known.id == found["id"]:
                self.api.call_logger.resolve_alert(found["id"])
                self.ended_by_hand[name] = True

    @rule(name=names)
    def somebody_else_raises_an_alert(self, name: str) -> None:
        if name in self.store.records:  # a group that was never looked at is none of ours
            foreign = self.api.call_logger.raise_alert({"callGroupId": name, "alertType": "NO_ASSIGNED_USERS"})
            self.not_of_this_episode[name].add(foreign["id"])

    # Checks

    @rule()
    def check(self) -> None:
        self.run(Line(self.clock))
        self.all_is_well()

    @rule()
    def check_again_at_once(self) -> None:
        """However often checks run: the second one finds nothing to do."""
        self.check()
        before = list(self.api.call_logger.alerts), list(self.notifier.notices)
        outcome = self.run(Line(self.clock), later=timedelta())
        assert (list(self.api.call_logger.alerts), list(self.notifier.notices)) == before
        assert [report.done for report in outcome.groups] == [()] * len(self.monitored)

    @rule(failures=st.lists(st.tuples(st.sampled_from(OF_THE_API), st.none() | api_failures), max_size=8))
    def check_while_the_api_fails_now_and_then(self, failures: list[Any]) -> None:
        line = Line(self.clock)
        for name, failure in failures:
            line.failures[name].append(failure)
        assert self.run(line).result == "finished"

    @rule(error=source_failures)
    def check_while_the_source_is_down(self, error: Exception) -> None:
        line, before = Line(self.clock), {name: self.ids(name) for name in GROUPS}
        line.failures["observe"].append((error, False))
        for report in self.run(line).groups:
            if self.hours[report.id].is_on:
                assert report.state is GroupState.UNKNOWN
                assert before[report.id] <= self.ids(report.id)

    @rule(n=st.integers(0, 3))
    def check_while_a_webhook_fails(self, n: int) -> None:
        line = Line(self.clock)
        line.failures["tell"].extend([*[None] * n, (NoticeFailed("404"), False)])
        self.run(line)
        self.all_is_well()

    @rule(step=st.integers(1, 25), carried_out=st.booleans())
    def check_until_the_process_is_killed(self, *, step: int, carried_out: bool) -> None:
        line = Line(self.clock)
        line.kill_at = step, carried_out
        try:
            self.run(line)
        except Killed:
            assert self.store.leased_until <= self.clock.now() + LEASE

    @rule(slow_s=st.sampled_from([0, 1, 20, 60]))
    def check_on_two_instances_at_once(self, slow_s: int) -> None:
        """A second instance begins a check before every single step of a slow first one."""
        outcomes: list[GroupsOutcome] = []

        def other_instance(name: str, arguments: tuple[Any, ...]) -> None:
            self.judge_step(name, arguments)
            if first.steps > 1 and name != "release":
                outcomes.append(self.run(Line(self.clock), later=timedelta()))

        first = Line(self.clock)
        first.slow = timedelta(seconds=slow_s)
        assert self.run(first, before_each=other_instance).result == "finished"
        assert {outcome.result for outcome in outcomes} == {"held"}
        self.all_is_well()

    def run(self, line: Line, *, later: timedelta = LEASE, before_each: Any = None) -> GroupsOutcome:
        """A check, ``later``: a dead process blocks it no longer than its lease."""
        self.clock.move(later)
        line.before_each = before_each or self.judge_step
        wired = (line.to(part) for part in (self.members, self.api, self.notifier, self.store))
        monitored = [WatchedGroup(name, f"Group {name}", self.hours[name]) for name in sorted(self.monitored)]
        return check(monitored, GroupCheck(*wired, self.clock, self.policy, LEASE, TIMES.groups_longest_step))

    # Promises

    def judge_step(self, step: str, arguments: tuple[Any, ...]) -> None:
        """What must never be done, at the moment at which it would be."""
        if step == "observe":
            assert all(self.hours[name].is_on for name in arguments[0])
        elif step == "save":
            name, saved = arguments
            if saved.state in (GroupState.OK, GroupState.CLOSED):  # an episode is over
                self.not_of_this_episode[name] |= {found["id"] for found in self.api.call_logger.alerts}
                self.ended_by_hand[name] = False
        elif step == "raise_alert":
            name, _, kind, _ = arguments
            kept = self.store.records[name]
            assert self.hours[name].is_on
            assert name in self.monitored
            assert kept.acknowledged is not kind
            assert self.sight[name] in EMPTY if kind is NOBODY else kept.state is GroupState.UNKNOWN

    def active(self, name: str) -> list[Any]:
        alerts = self.api.call_logger.alerts
        return [found for found in alerts if found["callGroupId"] == name and found["isActive"]]

    def ids(self, name: str) -> set[str]:
        return {found["id"] for found in self.active(name)}

    def all_is_well(self) -> None:
        """After a check for which everything worked."""
        for name in GROUPS:
            types = [found["alertType"] for found in self.active(name)]
            kept = self.store.records.get(name)
            if name not in self.monitored or kept is None:
                assert (name in self.monitored, types, kept) == (False, [], None)
            elif not self.hours[name].is_on:
                assert (kept.state, types) == (GroupState.CLOSED, [])
            elif self.sight[name] in STAFFED:
                assert (kept.state, types) == (GroupState.OK, [])
            elif self.sight[name] in EMPTY:
                self.is_well_when_empty(name, kept, types)
            else:
                assert kept.state is GroupState.UNKNOWN
                assert types or kept.acknowledged or self.clock.now() - kept.unknown_since < BLIND_AFTER
            if kept is not None:
                assert ({kept.alert.id} if kept.alert else set()) == self.ids(name)

    def is_well_when_empty(self, name: str, kept: GroupRecord, types: list[str]) -> None:
        if kept.acknowledged is NOBODY:
            assert (kept.state, types, self.ended_by_hand[name]) == (GroupState.ALERTED, [], True)
        elif kept.state is GroupState.ALERTED:
            assert types == [NOBODY]
        else:
            assert (kept.state, types) == (GroupState.SUSPECT, [])
            assert self.policy.grace > self.clock.now() - kept.empty_since

    @invariant()
    @precondition(lambda self: hasattr(self, "api"))
    def no_group_has_two_alerts_at_once_or_in_one_episode(self) -> None:
        for name in GROUPS:
            assert len(self.active(name)) <= 1
            of_type = [a for a in self.api.call_logger.alerts if (a["callGroupId"], a["alertType"]) == (name, NOBODY)]
            assert len({found["id"] for found in of_type} - self.not_of_this_episode[name]) <= 1


class TestLifeOfAlerts(LifeOfAlerts.TestCase):
    settings = settings(max_examples=60, stateful_step_count=25, deadline=None)

    def setUp(self) -> None:
        """Thousands of lines of log would hide the one history that matters."""
        logging.disable()
        self.addCleanup(logging.disable, logging.NOTSET)
