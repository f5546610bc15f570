"""What becomes of a call group's alert: the decision as a table."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from cdr.groups.alerts import (
    Action,
    AlertPolicy,
    AlertType,
    GroupRecord,
    GroupState,
    GroupView,
    Member,
    Observation,
    OpenAlert,
    Raise,
    Resolve,
    Tell,
    compared_with_api,
    decide,
    raised,
    resolved,
    told,
    view_of,
)
from cdr.groups.members import StaticMemberSource

NOBODY, BLIND = AlertType.NO_ASSIGNED_USERS, AlertType.MEMBERSHIP_UNKNOWN
OK, SUSPECT, ALERTED, UNKNOWN, CLOSED = GroupState
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


def suspect(minutes: float) -> GroupRecord:
    return record(SUSPECT, empty_since=ago(minutes))


def alerted(**changed: Any) -> GroupRecord:
    return record(ALERTED, **{"empty_since": ago(30), "alert": alert(), "told": NOBODY, "told_at": ago(30)} | changed)


def blind(minutes: float = 30, **changed: Any) -> GroupRecord:
    return record(UNKNOWN, unknown_since=ago(minutes), **changed)


def blind_alerted(**changed: Any) -> GroupRecord:
    return blind(**{"alert": alert(BLIND), "told": BLIND, "told_at": ago(30)} | changed)


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
def test_a_group_is_empty_only_if_that_is_certain(observation: Observation, available: int | None) -> None:
    assert observation.available == available


def test_static_members_count_as_available_and_a_group_without_any_is_empty() -> None:
    found = StaticMemberSource({"800": ("101", "102"), "801": ()}).observe(["800", "801", "802"])
    assert {name: observation.available for name, observation in found.items()} == {"800": 2, "801": 0, "802": None}


START = GroupRecord()
WAS_EMPTY: dict[str, Any] = {"empty_since": ago(30), "told": NOBODY, "told_at": ago(30)}
RESOLVED, RAISED = (Resolve("a1"), Tell(None)), (Raise(NOBODY), Tell(NOBODY))

OPEN: dict[str, tuple[GroupRecord, Observation, GroupState, tuple[Action, ...]]] = {
    # staffed
    "new, staffed": (START, STAFFED, OK, ()),
    "suspect recovers": (suspect(5), STAFFED, OK, ()),
    "alerted recovers": (alerted(), STAFFED, OK, RESOLVED),
    "unknown turns out staffed": (blind(), STAFFED, OK, ()),
    "blind alert recovers": (blind_alerted(), STAFFED, OK, RESOLVED),
    "alert kept through blindness recovers": (blind(alert=alert()), STAFFED, OK, (Resolve("a1"),)),
    "resolving failed before": (record(OK, alert=alert()), STAFFED, OK, (Resolve("a1"),)),
    "one is enough": (record(OK), seen(True, None), OK, ()),
    # empty
    "ok empties": (record(OK), EMPTY, SUSPECT, ()),
    "no members at all": (record(CLOSED), seen(), SUSPECT, ()),
    "within grace": (suspect(9.99), EMPTY, SUSPECT, ()),
    "grace is over": (suspect(10), EMPTY, ALERTED, RAISED),
    "alerted stays": (alerted(), EMPTY, ALERTED, ()),
    "raising failed before": (alerted(alert=None), EMPTY, ALERTED, (Raise(NOBODY),)),
    "crashed before telling": (alerted(told=None), EMPTY, ALERTED, (Tell(NOBODY),)),
    "reminder is due": (alerted(told_at=ago(60)), EMPTY, ALERTED, (Tell(NOBODY, reminder=True),)),
    "reminder is not due": (alerted(told_at=ago(59.9)), EMPTY, ALERTED, ()),
    "acknowledged by hand": (alerted(alert=None, acknowledged=NOBODY), EMPTY, ALERTED, ()),
    "empty all along": (blind(empty_since=ago(30)), EMPTY, ALERTED, RAISED),
    "unknown turns out empty": (blind(), EMPTY, SUSPECT, ()),
    "blind alert turns out empty, in grace": (blind_alerted(), EMPTY, SUSPECT, RESOLVED),
    "blind alert turns out empty": (blind_alerted(empty_since=ago(30)), EMPTY, ALERTED, (Resolve("a1"), *RAISED)),
    "alert kept through blindness": (blind(alert=alert(), **WAS_EMPTY), EMPTY, ALERTED, ()),
    "acknowledged through blindness": (blind(acknowledged=NOBODY, **WAS_EMPTY), EMPTY, ALERTED, ()),
    "blindness acknowledged is not emptiness": (
        blind(acknowledged=BLIND, empty_since=ago(30), told=BLIND, told_at=ago(30)),
        EMPTY,
        ALERTED,
        RAISED,
    ),
    # unknown
    "ok vanishes": (record(OK), UNSEEN, UNKNOWN, ()),
    "not certainly empty": (record(OK), seen(False, None), UNKNOWN, ()),
    "suspect vanishes": (suspect(30), UNSEEN, UNKNOWN, ()),
    "alert is kept": (alerted(), UNSEEN, UNKNOWN, ()),
    "no reminder of what is not known": (alerted(told_at=ago(90)), UNSEEN, UNKNOWN, ()),
    "not long unknown": (blind(14.99), UNSEEN, UNKNOWN, ()),
    "unknown for too long": (blind(15), UNSEEN, UNKNOWN, (Raise(BLIND), Tell(BLIND))),
    "blind alert stays": (blind_alerted(), UNSEEN, UNKNOWN, ()),
    "one alert at a time": (blind(60, alert=alert(), told=NOBODY, told_at=ago(90)), UNSEEN, UNKNOWN, ()),
    "blindness acknowledged": (blind(acknowledged=BLIND, told=BLIND, told_at=ago(5)), UNSEEN, UNKNOWN, ()),
    "blind after emptiness was acknowledged": (
        blind(acknowledged=NOBODY, told=NOBODY, told_at=ago(5)),
        UNSEEN,
        UNKNOWN,
        (Raise(BLIND), Tell(BLIND)),
    ),
}
SHUT: dict[str, tuple[GroupRecord, tuple[Action, ...]]] = {
    "new": (START, ()),
    "suspect": (suspect(30), ()),
    "alerted": (alerted(), RESOLVED),
    "unknown": (blind(60), ()),
    "blind and alerted": (blind_alerted(), RESOLVED),
    "resolving failed before": (record(CLOSED, alert=alert()), (Resolve("a1"),)),
    "acknowledged": (alerted(alert=None, acknowledged=NOBODY, told=None), ()),
}
CASES = {name: (*case, True) for name, case in OPEN.items()} | {
    f"closes: {name} {n}": (before, what, CLOSED, actions, False)
    for name, (before, actions) in SHUT.items()
    for n, what in enumerate((STAFFED, EMPTY, UNSEEN))
}


@pytest.mark.parametrize(("before", "what", "state", "actions", "is_open"), CASES.values(), ids=CASES)
def test_a_check_makes_of_a_group(
    before: GroupRecord, what: Observation, state: GroupState, actions: tuple[Action, ...], *, is_open: bool
) -> None:
    decision = decide(before, what, is_open=is_open, now=NOW, policy=POLICY)
    after = decision.record
    assert (after.state, decision.actions) == (state, actions)
    assert after.since == (before.since if before.state is state and before.since else NOW)
    assert (after.checked_at, after.available) == (NOW, what.available)
    assert after.alert == before.alert  # what was done is noted once it is done


def test_without_grace_the_first_check_that_sees_nobody_alerts() -> None:
    decision = decide(record(OK), EMPTY, is_open=True, now=NOW, policy=AT_ONCE)
    assert (decision.record.state, decision.actions) == (ALERTED, RAISED)


def test_without_remind_after_nobody_is_told_twice() -> None:
    policy = replace(POLICY, remind_after=None)
    assert decide(alerted(told_at=ago(9999)), EMPTY, is_open=True, now=NOW, policy=policy).actions == ()


def test_a_group_that_was_staffed_in_between_gets_its_whole_grace_again() -> None:
    before = decide(record(OK), EMPTY, is_open=True, now=ago(20), policy=POLICY).record
    fine = decide(before, STAFFED, is_open=True, now=ago(11), policy=POLICY).record
    assert decide(fine, EMPTY, is_open=True, now=NOW, policy=POLICY).record.state is SUSPECT


@pytest.mark.parametrize("what", [STAFFED, EMPTY])
def test_a_glimpse_of_the_members_ends_the_count_of_blindness(what: Observation) -> None:
    after = decide(blind(14), what, is_open=True, now=ago(1), policy=POLICY).record
    assert decide(after, UNSEEN, is_open=True, now=NOW, policy=POLICY).record.unknown_since == NOW


@pytest.mark.parametrize(
    ("what", "is_open", "is_kept"),
    [(EMPTY, True, True), (UNSEEN, True, True), (STAFFED, True, False), (EMPTY, False, False)],
)
def test_an_alert_ended_by_hand_is_not_raised_again_before_the_group_had_somebody(
    what: Observation, *, is_open: bool, is_kept: bool
) -> None:
    before = alerted(alert=None, acknowledged=NOBODY)
    after = decide(before, what, is_open=is_open, now=NOW, policy=AT_ONCE).record
    actions = decide(after, EMPTY, is_open=True, now=NOW, policy=AT_ONCE).actions
    assert (Raise(NOBODY) not in actions) is is_kept


# What the Call Logger says of its alerts


@pytest.mark.parametrize(
    ("before", "acknowledged"),
    [
        pytest.param(alerted(), NOBODY, id="ended by hand"),
        pytest.param(blind(alert=alert()), NOBODY, id="ended by hand while blind"),
        pytest.param(blind_alerted(), BLIND, id="blindness ended by hand"),
        # These records say that the alert was to go: it was this app that ended it, just before it crashed.
        pytest.param(record(OK, alert=alert()), None, id="ended by us when staffed"),
        pytest.param(record(CLOSED, alert=alert(BLIND)), None, id="ended by us when closed"),
        pytest.param(record(SUSPECT, alert=alert(BLIND)), None, id="ended by us when empty within grace"),
        pytest.param(alerted(alert=alert(BLIND)), None, id="ended by us to make room for the other type"),
    ],
)
def test_an_alert_that_the_api_has_no_longer(before: GroupRecord, acknowledged: AlertType | None) -> None:
    after = compared_with_api(before, None)
    assert (after.alert, after.acknowledged) == (None, acknowledged)


@pytest.mark.parametrize(
    ("before", "acknowledged"),
    [
        *[(before, None) for before in (START, alerted(), alerted(alert=None), record(OK), blind())],
        # Somebody raised another one: nothing is acknowledged any more.
        (alerted(alert=None, acknowledged=NOBODY), None),
        (blind(acknowledged=BLIND), BLIND),
    ],
)
def test_an_alert_that_the_api_has_is_adopted(before: GroupRecord, acknowledged: AlertType | None) -> None:
    at_api = OpenAlert("b2", NOBODY, ago(1))
    assert compared_with_api(before, at_api) == replace(before, alert=at_api, acknowledged=acknowledged)


@pytest.mark.parametrize("before", [START, alerted(alert=None, acknowledged=NOBODY), record(OK)])
def test_without_an_alert_on_either_side_nothing_changes(before: GroupRecord) -> None:
    assert compared_with_api(before, None) == before


@pytest.mark.parametrize(
    ("before", "what", "actions"),
    [(alerted(alert=None), EMPTY, ()), (START, STAFFED, (Resolve("b2"),))],
    ids=["not raised once more", "resolved on a staffed group"],
)
def test_an_adopted_alert_is_as_good_as_our_own(before: GroupRecord, what: Observation, actions: Any) -> None:
    adopted = compared_with_api(before, OpenAlert("b2", NOBODY, ago(1)))
    assert decide(adopted, what, is_open=True, now=NOW, policy=POLICY).actions == actions


def test_what_was_done_is_put_into_the_record() -> None:
    assert raised(START, alert()).alert == alert()
    assert resolved(alerted()).alert is None
    assert told(START, Tell(NOBODY), NOW) == replace(START, told=NOBODY, told_at=NOW)
    assert told(alerted(), Tell(None), NOW).told is None


# For people


@pytest.mark.parametrize(
    ("kept", "view"),
    [
        (None, GroupView()),
        (
            alerted(members=2, available=0),
            GroupView(ALERTED, ago(30), members=2, available=0, alert_id="a1", last_check=ago(5)),
        ),
        (
            alerted(alert=None, acknowledged=NOBODY),
            GroupView(ALERTED, ago(30), resolved_by_hand=NOBODY, last_check=ago(5)),
        ),
    ],
    ids=["not checked yet", "alerted", "resolved by hand"],
)
def test_people_see_of_a_group(kept: GroupRecord | None, view: GroupView) -> None:
    assert view_of(kept) == view
