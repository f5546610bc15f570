"""What becomes of a call group's alert: the decision as a table, and its promises for any history."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from cdr.groups.alerts import (
    AlertPolicy,
    AlertType,
    GroupRecord,
    GroupState,
    Member,
    Observation,
    OpenAlert,
    Raise,
    Resolve,
    StaticMemberSource,
    Tell,
    compared_with_api,
    decide,
    raised,
    resolved,
    told,
)
from cdr.groups.check import LEASE, GroupsOutcome, Watch, WatchedGroup, check_groups
from cdr.groups.hours import Hours
from shared.clock import HandMovedClock
from shared.errors import ApiDenied, ApiUnavailable, NoticeFailed, SourceMisconfigured, SourceUnavailable
from tests.fakes.groups import InMemoryAlertApi, InMemoryGroupStore, InMemoryMemberSource, InMemoryNotifier

NOBODY, BLIND = AlertType.NO_ASSIGNED_USERS, AlertType.MEMBERSHIP_UNKNOWN
OK, SUSPECT, ALERTED, UNKNOWN, CLOSED = (
    GroupState.OK,
    GroupState.SUSPECT,
    GroupState.ALERTED,
    GroupState.UNKNOWN,
    GroupState.CLOSED,
)
NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
POLICY = AlertPolicy(grace=timedelta(minutes=10), unknown_after=timedelta(minutes=15), remind_after=timedelta(hours=1))
AT_ONCE = replace(POLICY, grace=timedelta())


def seen(*available: bool | None) -> Observation:
    return Observation(tuple(Member(str(101 + n), value) for n, value in enumerate(available)))


STAFFED, EMPTY, UNSEEN = seen(True, False), seen(False, False), Observation(None, "no answer")


def ago(minutes: float) -> datetime:
    return NOW - timedelta(minutes=minutes)


def alert(kind: AlertType = NOBODY) -> OpenAlert:
    return OpenAlert("a1", kind, ago(30))


def record(state: GroupState, **changed: Any) -> GroupRecord:
    return GroupRecord(state=state, since=ago(30), checked_at=ago(5), **changed)


def alerted(**changed: Any) -> GroupRecord:
    return record(ALERTED, **{"empty_since": ago(30), "alert": alert(), "told": NOBODY, "told_at": ago(30)} | changed)


def blind(minutes: float = 30, **changed: Any) -> GroupRecord:
    return record(UNKNOWN, unknown_since=ago(minutes), **changed)


def blind_alerted(**changed: Any) -> GroupRecord:
    return blind(**{"alert": alert(BLIND), "told": BLIND, "told_at": ago(30)} | changed)


# Who is available


@pytest.mark.parametrize(
    ("observation", "available"),
    [
        (seen(True, True, False), 2),
        (seen(True, None), 1),  # one is enough
        (seen(False, False), 0),
        (seen(), 0),
        (seen(False, None), None),  # the one of whom nothing is known may be there
        (seen(None), None),
        (UNSEEN, None),
    ],
)
def test_a_group_is_empty_only_if_that_is_certain(observation, available):
    assert observation.available == available


def test_static_members_count_as_available_and_a_group_without_any_is_empty():
    found = StaticMemberSource({"800": ("101", "102"), "801": ()}).observe(["800", "801", "802"])
    assert {name: observation.available for name, observation in found.items()} == {"800": 2, "801": 0, "802": None}


# The decision: (record, seen, is_open) -> (state, actions)

START = GroupRecord()
TABLE = [
    # Staffed
    pytest.param(START, STAFFED, True, OK, [], id="new-staffed"),
    pytest.param(record(OK), STAFFED, True, OK, [], id="ok-stays"),
    pytest.param(record(SUSPECT, empty_since=ago(5)), STAFFED, True, OK, [], id="suspect-recovers"),
    pytest.param(alerted(), STAFFED, True, OK, [Resolve("a1"), Tell(None)], id="alerted-recovers"),
    pytest.param(blind(), STAFFED, True, OK, [], id="unknown-turns-out-staffed"),
    pytest.param(blind_alerted(), STAFFED, True, OK, [Resolve("a1"), Tell(None)], id="blind-alert-recovers"),
    pytest.param(blind(alert=alert()), STAFFED, True, OK, [Resolve("a1")], id="alert-kept-through-blindness-recovers"),
    pytest.param(record(OK, alert=alert()), STAFFED, True, OK, [Resolve("a1")], id="ok-resolve-failed-before"),
    pytest.param(record(CLOSED), STAFFED, True, OK, [], id="opens-staffed"),
    pytest.param(record(OK), seen(True, None), True, OK, [], id="one-is-enough"),
    # Empty
    pytest.param(START, EMPTY, True, SUSPECT, [], id="new-empty"),
    pytest.param(record(OK), EMPTY, True, SUSPECT, [], id="ok-empties"),
    pytest.param(record(OK), seen(), True, SUSPECT, [], id="no-members-at-all"),
    pytest.param(record(CLOSED), EMPTY, True, SUSPECT, [], id="opens-empty"),
    pytest.param(record(SUSPECT, empty_since=ago(9.99)), EMPTY, True, SUSPECT, [], id="within-grace"),
    pytest.param(
        record(SUSPECT, empty_since=ago(10)), EMPTY, True, ALERTED, [Raise(NOBODY), Tell(NOBODY)], id="grace-is-over"
    ),
    pytest.param(alerted(), EMPTY, True, ALERTED, [], id="alerted-stays"),
    pytest.param(alerted(alert=None), EMPTY, True, ALERTED, [Raise(NOBODY)], id="raise-failed-before"),
    pytest.param(alerted(told=None), EMPTY, True, ALERTED, [Tell(NOBODY)], id="crashed-before-telling"),
    pytest.param(alerted(told_at=ago(60)), EMPTY, True, ALERTED, [Tell(NOBODY, reminder=True)], id="reminder-is-due"),
    pytest.param(alerted(told_at=ago(59.9)), EMPTY, True, ALERTED, [], id="reminder-is-not-due"),
    pytest.param(alerted(alert=None, acknowledged=NOBODY), EMPTY, True, ALERTED, [], id="acknowledged-by-hand"),
    pytest.param(blind(empty_since=ago(30)), EMPTY, True, ALERTED, [Raise(NOBODY), Tell(NOBODY)], id="empty-all-along"),
    pytest.param(blind(), EMPTY, True, SUSPECT, [], id="unknown-turns-out-empty"),
    pytest.param(
        blind_alerted(),
        EMPTY,
        True,
        SUSPECT,
        [Resolve("a1"), Tell(None)],
        id="blind-alert-turns-out-empty-within-grace",
    ),
    pytest.param(
        blind_alerted(empty_since=ago(30)),
        EMPTY,
        True,
        ALERTED,
        [Resolve("a1"), Raise(NOBODY), Tell(NOBODY)],
        id="blind-alert-turns-out-empty",
    ),
    pytest.param(
        blind(alert=alert(), empty_since=ago(30), told=NOBODY, told_at=ago(30)),
        EMPTY,
        True,
        ALERTED,
        [],
        id="alert-kept-through-blindness",
    ),
    pytest.param(
        blind(acknowledged=NOBODY, empty_since=ago(30), told=NOBODY, told_at=ago(30)),
        EMPTY,
        True,
        ALERTED,
        [],
        id="acknowledged-through-blindness",
    ),
    pytest.param(
        blind(acknowledged=BLIND, empty_since=ago(30), told=BLIND, told_at=ago(30)),
        EMPTY,
        True,
        ALERTED,
        [Raise(NOBODY), Tell(NOBODY)],
        id="acknowledged-blindness-is-not-emptiness",
    ),
    # Unknown
    pytest.param(START, UNSEEN, True, UNKNOWN, [], id="new-unknown"),
    pytest.param(record(OK), UNSEEN, True, UNKNOWN, [], id="ok-vanishes"),
    pytest.param(record(OK), seen(False, None), True, UNKNOWN, [], id="not-certainly-empty"),
    pytest.param(record(SUSPECT, empty_since=ago(30)), UNSEEN, True, UNKNOWN, [], id="suspect-vanishes"),
    pytest.param(alerted(), UNSEEN, True, UNKNOWN, [], id="alert-is-kept"),
    pytest.param(alerted(told_at=ago(90)), UNSEEN, True, UNKNOWN, [], id="no-reminder-of-what-is-not-known"),
    pytest.param(blind(14.99), UNSEEN, True, UNKNOWN, [], id="not-long-unknown"),
    pytest.param(blind(15), UNSEEN, True, UNKNOWN, [Raise(BLIND), Tell(BLIND)], id="unknown-for-too-long"),
    pytest.param(blind_alerted(), UNSEEN, True, UNKNOWN, [], id="blind-alert-stays"),
    pytest.param(blind(60, alert=alert(), told=NOBODY, told_at=ago(90)), UNSEEN, True, UNKNOWN, [], id="one-at-a-time"),
    pytest.param(
        blind(acknowledged=BLIND, told=BLIND, told_at=ago(5)), UNSEEN, True, UNKNOWN, [], id="blindness-acknowledged"
    ),
    pytest.param(
        blind(acknowledged=NOBODY, told=NOBODY, told_at=ago(5)),
        UNSEEN,
        True,
        UNKNOWN,
        [Raise(BLIND), Tell(BLIND)],
        id="blind-after-emptiness-was-acknowledged",
    ),
    # Outside of business hours, whatever is seen
    *[
        pytest.param(before, what, False, CLOSED, actions, id=f"closes-{name}-{n}")
        for n, what in enumerate((STAFFED, EMPTY, UNSEEN))
        for name, before, actions in [
            ("new", START, []),
            ("ok", record(OK), []),
            ("suspect", record(SUSPECT, empty_since=ago(30)), []),
            ("alerted", alerted(), [Resolve("a1"), Tell(None)]),
            ("unknown", blind(60), []),
            ("blind-alerted", blind_alerted(), [Resolve("a1"), Tell(None)]),
            ("resolve-failed-before", record(CLOSED, alert=alert()), [Resolve("a1")]),
            ("acknowledged", alerted(alert=None, acknowledged=NOBODY, told=None), []),
        ]
    ],
]


@pytest.mark.parametrize(("before", "what", "is_open", "state", "actions"), TABLE)
def test_a_check_makes_of_a_group(before, what, is_open, state, actions):
    decision = decide(before, what, is_open=is_open, now=NOW, policy=POLICY)
    assert (decision.record.state, list(decision.actions)) == (state, actions)
    assert decision.record.since == (before.since if before.state is state and before.since else NOW)
    assert decision.record.checked_at == NOW
    assert decision.record.available == what.available
    assert decision.record.alert == before.alert  # what was done is noted once it is done


def test_without_grace_the_first_check_that_sees_nobody_alerts():
    decision = decide(record(OK), EMPTY, is_open=True, now=NOW, policy=AT_ONCE)
    assert (decision.record.state, list(decision.actions)) == (ALERTED, [Raise(NOBODY), Tell(NOBODY)])


def test_without_remind_after_nobody_is_told_twice():
    policy = replace(POLICY, remind_after=None)
    assert decide(alerted(told_at=ago(9999)), EMPTY, is_open=True, now=NOW, policy=policy).actions == ()


def test_a_group_that_was_staffed_in_between_gets_its_whole_grace_again():
    suspect = decide(record(OK), EMPTY, is_open=True, now=ago(20), policy=POLICY).record
    fine = decide(suspect, STAFFED, is_open=True, now=ago(11), policy=POLICY).record
    assert decide(fine, EMPTY, is_open=True, now=NOW, policy=POLICY).record.state is SUSPECT


@pytest.mark.parametrize("what", [STAFFED, EMPTY])
def test_a_glimpse_of_the_members_ends_the_count_of_blindness(what):
    after = decide(blind(14), what, is_open=True, now=ago(1), policy=POLICY).record
    assert decide(after, UNSEEN, is_open=True, now=NOW, policy=POLICY).record.unknown_since == NOW


@pytest.mark.parametrize(
    ("what", "is_open", "is_kept"),
    [
        (EMPTY, True, True),
        (UNSEEN, True, True),
        (STAFFED, True, False),
        (EMPTY, False, False),
    ],
)
def test_an_alert_ended_by_hand_is_not_raised_again_before_the_group_had_somebody(what, is_open, is_kept):
    before = alerted(alert=None, acknowledged=NOBODY)
    after = decide(before, what, is_open=is_open, now=NOW, policy=AT_ONCE).record
    actions = decide(after, EMPTY, is_open=True, now=NOW, policy=AT_ONCE).actions
    assert (Raise(NOBODY) not in actions) is is_kept


# What the Call Logger says of its alerts


@pytest.mark.parametrize(
    ("before", "acknowledged"),
    [
        pytest.param(alerted(), NOBODY, id="ended-by-hand"),
        pytest.param(blind(alert=alert()), NOBODY, id="ended-by-hand-while-blind"),
        pytest.param(blind_alerted(), BLIND, id="blindness-ended-by-hand"),
        # These records say that the alert was to go: it was this app that ended it, just before it crashed.
        pytest.param(record(OK, alert=alert()), None, id="ended-by-us-when-staffed"),
        pytest.param(record(CLOSED, alert=alert(BLIND)), None, id="ended-by-us-when-closed"),
        pytest.param(record(SUSPECT, alert=alert(BLIND)), None, id="ended-by-us-when-empty-within-grace"),
        pytest.param(alerted(alert=alert(BLIND)), None, id="ended-by-us-to-make-room-for-the-other-type"),
    ],
)
def test_an_alert_that_the_api_has_no_longer(before, acknowledged):
    after = compared_with_api(before, None)
    assert (after.alert, after.acknowledged) == (None, acknowledged)


@pytest.mark.parametrize("before", [START, alerted(), alerted(alert=None), record(OK), blind()])
def test_an_alert_that_the_api_has_is_adopted(before):
    at_api = OpenAlert("b2", NOBODY, ago(1))
    assert compared_with_api(before, at_api) == replace(before, alert=at_api)


@pytest.mark.parametrize("before", [START, alerted(alert=None, acknowledged=NOBODY), record(OK)])
def test_without_an_alert_on_either_side_nothing_changes(before):
    assert compared_with_api(before, None) == before


def test_an_adopted_alert_is_not_raised_once_more():
    adopted = compared_with_api(alerted(alert=None), OpenAlert("b2", NOBODY, ago(1)))
    assert decide(adopted, EMPTY, is_open=True, now=NOW, policy=POLICY).actions == ()


def test_an_alert_of_an_earlier_integration_is_resolved_on_a_staffed_group():
    adopted = compared_with_api(START, OpenAlert("b2", NOBODY, ago(1)))
    assert decide(adopted, STAFFED, is_open=True, now=NOW, policy=POLICY).actions == (Resolve("b2"),)


def test_what_was_done_is_put_into_the_record():
    assert raised(START, alert()).alert == alert()
    assert resolved(alerted()).alert is None
    assert (told(START, Tell(NOBODY), NOW).told, told(START, Tell(NOBODY), NOW).told_at) == (NOBODY, NOW)
    assert told(alerted(), Tell(None), NOW).told is None


# For any history. Crash and outages are put between the check and its twins, where a process meets them.


class Killed(BaseException):
    """The process is gone: it does nothing any more, not even what stands behind a finally."""


class Line:
    """What a check's every step goes through: it may be cut, slow, or the last thing that the process does."""

    def __init__(self, clock: HandMovedClock) -> None:
        self.clock = clock
        self.steps = 0
        self.kill_at: int | None = None
        self.effect_before_kill = False
        self.is_dead = False
        self.slow: timedelta = timedelta()
        self.aside: Callable[[], object] | None = None
        self.watch_out: Callable[[str, tuple[Any, ...]], None] = lambda name, arguments: None

    def to(self, twin: object) -> Any:
        return _Wired(self, twin)

    def call(self, name: str, operation: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
        if self.is_dead:
            raise Killed
        self.steps += 1
        self.watch_out(name, arguments)
        if self.aside is not None and name != "release":
            self.aside()
        is_last = self.steps == self.kill_at
        if is_last:
            self.is_dead = True
        if is_last and not self.effect_before_kill:
            raise Killed
        answer = operation(*arguments)
        if name in ("active", "raise_alert", "resolve", "observe"):
            self.clock.move(self.slow)
        if is_last:
            raise Killed
        return answer


class _Wired:
    def __init__(self, line: Line, twin: object) -> None:
        self._line, self._twin = line, twin

    def __getattr__(self, name: str) -> Any:
        return lambda *arguments: self._line.call(name, getattr(self._twin, name), arguments)


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
STAFFED_SIGHTS = ("staffed", "half known but staffed")
EMPTY_SIGHTS = ("empty", "without members")
GRACE, BLIND_AFTER = timedelta(minutes=4), timedelta(minutes=15)
API_FAILURES = (ApiUnavailable("outage"), ApiDenied("401"))
SOURCE_FAILURES = (SourceUnavailable("outage"), SourceMisconfigured("no such table"))


class Switch(Hours):
    """Business hours that a test opens and closes."""

    is_on = True

    def is_open(self, now: datetime) -> bool:
        return self.is_on


class LifeOfAlerts(RuleBasedStateMachine):
    """Groups fill and empty, hours begin and end, people end alerts by hand, parts fail, processes die."""

    @initialize(grace=st.sampled_from([timedelta(), GRACE]))
    def begin(self, grace: timedelta) -> None:
        self.clock = HandMovedClock(NOW)
        self.members = InMemoryMemberSource()
        self.api = InMemoryAlertApi()
        self.api.call_logger.now = self.clock.now
        self.notifier = InMemoryNotifier()
        self.store = InMemoryGroupStore()
        self.policy = AlertPolicy(grace, BLIND_AFTER, timedelta(hours=1))
        self.hours = {name: Switch(ZoneInfo("UTC"), {}) for name in GROUPS}
        self.sight = dict.fromkeys(GROUPS, "staffed")
        self.monitored = set(GROUPS)
        self.not_of_this_episode: dict[str, set[str]] = {name: set() for name in GROUPS}
        self.by_hand = dict.fromkeys(GROUPS, False)
        for name in GROUPS:
            self.see(name, "staffed")

    # What happens outside

    @rule(name=st.sampled_from(GROUPS), sight=st.sampled_from(sorted(SIGHTS)))
    def see(self, name: str, sight: str) -> None:
        self.sight[name] = sight
        self.members.unknown.pop(name, None)
        self.members.groups.pop(name, None)
        match SIGHTS[sight]:
            case str(reason):
                self.members.unknown[name] = reason
            case dict(available):
                self.members.put(name, available)

    @rule(name=st.sampled_from(GROUPS), is_on=st.booleans())
    def hours_begin_or_end(self, name: str, *, is_on: bool) -> None:
        self.hours[name].is_on = is_on

    @rule(name=st.sampled_from(GROUPS))
    def stop_or_begin_to_monitor(self, name: str) -> None:
        self.monitored ^= {name}

    @rule(minutes=st.sampled_from([1, 5, 16, 61]))
    def time_passes(self, minutes: int) -> None:
        self.clock.move(timedelta(minutes=minutes))

    @rule(name=st.sampled_from(GROUPS))
    def somebody_ends_the_alert_by_hand(self, name: str) -> None:
        """One that we know of: what is ended before anybody noted it, nobody can tell from what never was."""
        known = self.store.records.get(name, GroupRecord()).alert
        for found in self.active(name):
            if known is not None and known.id == found["id"] and self.store.records[name].acknowledged is None:
                self.api.call_logger.resolve_alert(found["id"])
                self.by_hand[name] = True

    @rule(name=st.sampled_from(GROUPS))
    def an_earlier_integration_raises_an_alert(self, name: str) -> None:
        if name in self.store.records:  # a group that was never looked at is none of ours
            foreign = self.api.call_logger.raise_alert({"callGroupId": name, "alertType": "NO_ASSIGNED_USERS"})
            self.not_of_this_episode[name].add(foreign["id"])

    # Checks

    @rule()
    def check(self) -> None:
        self.clock.move(LEASE)  # a dead process blocks no longer than this
        assert self.run(Line(self.clock)).result == "finished"
        self.all_is_well()

    @rule()
    def check_again_at_once(self) -> None:
        """However often checks run: the second one finds nothing to do."""
        self.check()
        before = list(self.api.call_logger.alerts), list(self.notifier.notices)
        outcome = self.run(Line(self.clock))
        assert (list(self.api.call_logger.alerts), list(self.notifier.notices)) == before
        assert [report.done for report in outcome.groups] == [[]] * len(self.monitored)

    @rule(
        failures=st.lists(st.tuples(st.integers(1, 8), st.sampled_from(API_FAILURES), st.booleans()), max_size=6),
    )
    def check_while_the_api_fails_now_and_then(self, failures: list[Any]) -> None:
        for n, error, answer_lost in failures:
            self.api.fail_at(n, error, answer_lost=answer_lost)
        self.clock.move(LEASE)
        try:
            assert self.run(Line(self.clock)).result == "finished"
        finally:
            self.api._failures.clear()

    @rule(error=st.sampled_from(SOURCE_FAILURES))
    def check_while_the_source_is_down(self, error: Exception) -> None:
        self.clock.move(LEASE)
        before = self.unresolved()
        self.members.fail_at(1, error)
        outcome = self.run(Line(self.clock))
        self.members._failures.clear()
        for report in outcome.groups:
            if self.hours[report.id].is_on:
                assert report.state == "unknown"
                assert before[report.id] <= self.unresolved()[report.id]

    @rule(n=st.integers(1, 4))
    def check_while_webhooks_fail(self, n: int) -> None:
        self.clock.move(LEASE)
        self.notifier.fail_at(n, NoticeFailed("404"))
        assert self.run(Line(self.clock)).result == "finished"
        self.notifier._failures.clear()
        self.all_is_well()

    @rule(step=st.integers(1, 25), effect=st.booleans())
    def check_until_the_process_is_killed(self, *, step: int, effect: bool) -> None:
        self.clock.move(LEASE)
        line = Line(self.clock)
        line.kill_at, line.effect_before_kill = step, effect
        try:
            self.run(line)
        except Killed:
            assert self.store.leased_until <= self.clock.now() + LEASE

    @rule(slow_s=st.sampled_from([0, 1, 20, 60]))
    def check_on_two_instances_at_once(self, slow_s: int) -> None:
        """A second instance begins a check before every single step of a slow first one."""
        self.clock.move(LEASE)
        outcomes: list[GroupsOutcome] = []

        def other_instance() -> None:
            if first.steps > 1:
                outcomes.append(self.run(Line(self.clock)))

        first = Line(self.clock)
        first.slow, first.aside = timedelta(seconds=slow_s), other_instance
        assert self.run(first).result == "finished"
        assert {outcome.result for outcome in outcomes} == {"held"}
        self.all_is_well()

    def run(self, line: Line) -> GroupsOutcome:
        watch = Watch(
            members=line.to(self.members),
            alerts=line.to(self.api),
            notifier=line.to(self.notifier),
            store=line.to(self.store),
            clock=self.clock,
            policy=self.policy,
        )
        line.watch_out = self.judge_step
        monitored = [WatchedGroup(name, f"Group {name}", self.hours[name]) for name in sorted(self.monitored)]
        return check_groups(monitored, watch)

    def judge_step(self, step: str, arguments: tuple[Any, ...]) -> None:
        """What must never be done, at the moment at which it would be."""
        if step == "observe":
            assert all(self.hours[name].is_on for name in arguments[0])
        elif step == "save":
            name, saved = arguments
            if saved.state in (OK, CLOSED):
                self.not_of_this_episode[name] |= {found["id"] for found in self.api.call_logger.alerts}
                self.by_hand[name] = False
        elif step == "raise_alert":
            name, _, kind, _ = arguments
            assert self.hours[name].is_on
            assert name in self.monitored
            if kind is NOBODY:
                assert self.sight[name] in EMPTY_SIGHTS
                assert not self.by_hand[name] or self.store.records[name].acknowledged is not NOBODY
            else:
                assert self.store.records[name].state is UNKNOWN

    # Promises

    def active(self, name: str) -> list[Any]:
        alerts = self.api.call_logger.alerts
        return [found for found in alerts if found["callGroupId"] == name and found["isActive"]]

    def unresolved(self) -> dict[str, set[str]]:
        return {name: {found["id"] for found in self.active(name)} for name in GROUPS}

    def all_is_well(self) -> None:
        """After a check for which everything worked."""
        for name in GROUPS:
            types = [found["alertType"] for found in self.active(name)]
            kept = self.store.records.get(name)
            if name not in self.monitored:
                assert (types, kept) == ([], None)
            elif not self.hours[name].is_on:
                assert (types, kept.state) == ([], CLOSED)
            elif self.sight[name] in STAFFED_SIGHTS:
                assert (types, kept.state) == ([], OK)
            elif self.sight[name] in EMPTY_SIGHTS:
                self.is_well_when_empty(name, kept, types)
            else:
                assert kept.state is UNKNOWN
                is_late = self.clock.now() - kept.unknown_since >= BLIND_AFTER
                assert types or not is_late or kept.acknowledged
            if kept is not None:
                assert ({kept.alert.id} if kept.alert else set()) == self.unresolved()[name]

    def is_well_when_empty(self, name: str, kept: GroupRecord, types: list[str]) -> None:
        if kept.acknowledged is NOBODY:
            assert (kept.state, types) == (ALERTED, [])
            assert self.by_hand[name]
        elif kept.state is ALERTED:
            assert types == [NOBODY]
        else:
            assert (kept.state, types) == (SUSPECT, [])
            assert self.policy.grace > self.clock.now() - kept.empty_since

    @invariant()
    @precondition(lambda self: hasattr(self, "api"))
    def no_group_has_two_alerts_at_once_or_in_one_episode(self) -> None:
        for name in GROUPS:
            assert len(self.active(name)) <= 1
            made = [
                found
                for found in self.api.call_logger.alerts
                if found["callGroupId"] == name
                and found["alertType"] == NOBODY
                and found["id"] not in self.not_of_this_episode[name]
            ]
            assert len(made) <= 1


class TestLifeOfAlerts(LifeOfAlerts.TestCase):
    settings = settings(max_examples=60, stateful_step_count=25, deadline=None)

    def setUp(self) -> None:
        """Thousands of lines of log would hide the one history that matters."""
        logging.disable()
        self.addCleanup(logging.disable, logging.NOTSET)
