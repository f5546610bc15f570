"""Call groups: who is available, and what becomes of a group's alert. Pure.

A group is watched in business hours only. It is alerted when it is known to have nobody, never when that is a guess: a
source that cannot say raises an alert of its own kind, after a while, so that blindness is noticed too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum


class GroupState(StrEnum):
    """``suspect`` is empty for less than the grace time; ``unknown`` means that the source cannot say."""

    OK = "ok"
    SUSPECT = "suspect"
    ALERTED = "alerted"
    UNKNOWN = "unknown"
    CLOSED = "closed"


class AlertType(StrEnum):
    """The Call Logger's ``alertType``."""

    NO_ASSIGNED_USERS = "NO_ASSIGNED_USERS"
    MEMBERSHIP_UNKNOWN = "MEMBERSHIP_UNKNOWN"


@dataclass(frozen=True, slots=True)
class Member:
    """An extension of a group; ``available`` is None where the source does not say."""

    extension: str
    available: bool | None


@dataclass(frozen=True, slots=True)
class Observation:
    """What a check saw of a group. ``members`` None: nothing, and ``problem`` says why."""

    members: Sequence[Member] | None
    problem: str = ""

    @property
    def available(self) -> int | None:
        """How many members can take a call; None where that is not known."""
        if self.members is None:
            return None
        count = sum(member.available is True for member in self.members)
        return count if count or all(member.available is False for member in self.members) else None


@dataclass(frozen=True, slots=True)
class OpenAlert:
    """An alert that the Call Logger has."""

    id: str
    type: AlertType
    raised_at: datetime


@dataclass(frozen=True, slots=True)
class GroupRecord:
    """What is remembered of a group from one check to the next. Times are aware and in UTC."""

    state: GroupState = GroupState.CLOSED
    since: datetime | None = None
    empty_since: datetime | None = None
    unknown_since: datetime | None = None
    alert: OpenAlert | None = None
    told: AlertType | None = None
    """What the people behind the webhooks were last told: an alert of this type, or that all is well (None)."""
    told_at: datetime | None = None
    acknowledged: AlertType | None = None
    """An alert of this episode that somebody ended at the Call Logger by hand: it is not raised again."""
    members: int | None = None
    available: int | None = None
    checked_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class GroupView:
    """What people see of a group; ``state`` None: it was not checked yet. Times are aware and in UTC."""

    state: GroupState | None = None
    since: datetime | None = None
    members: int | None = None
    available: int | None = None
    alert_id: str | None = None
    resolved_by_hand: AlertType | None = None
    """The alert of this episode that somebody ended at the Call Logger: the group is as it was, and nobody is told."""
    last_check: datetime | None = None


def view_of(record: GroupRecord | None) -> GroupView:
    if record is None:
        return GroupView()
    return GroupView(
        state=record.state,
        since=record.since,
        members=record.members,
        available=record.available,
        alert_id=record.alert.id if record.alert else None,
        resolved_by_hand=record.acknowledged,
        last_check=record.checked_at,
    )


@dataclass(frozen=True, slots=True)
class AlertPolicy:
    grace: timedelta = timedelta()
    unknown_after: timedelta = timedelta(minutes=15)
    remind_after: timedelta | None = None


@dataclass(frozen=True, slots=True)
class Raise:
    type: AlertType


@dataclass(frozen=True, slots=True)
class Resolve:
    alert_id: str


@dataclass(frozen=True, slots=True)
class Tell:
    """Tell the people behind the webhooks: of an alert, again of it, or (None) that it is over."""

    type: AlertType | None
    reminder: bool = False


Action = Raise | Resolve | Tell


@dataclass(frozen=True, slots=True)
class Decision:
    record: GroupRecord
    actions: Sequence[Action]


def decide(record: GroupRecord, seen: Observation, *, is_open: bool, now: datetime, policy: AlertPolicy) -> Decision:
    """What a check makes of a group: its new record, and what is to be done for it, in order.

    The record is as if nothing had been done yet: each action that succeeded is put into it by the functions below, and
    one that failed is decided again at the next check.
    """
    state, wanted = _judge(record, seen, is_open=is_open, now=now, policy=policy)
    record = _observed(record, state, seen, now)
    if not _outlasts(record.acknowledged, state):
        record = replace(record, acknowledged=None)
    actions: list[Action] = []
    keeps_alert = state is GroupState.UNKNOWN and record.alert is not None
    if record.alert is not None and record.alert.type is not wanted and not keeps_alert:
        actions.append(Resolve(record.alert.id))
    if wanted is not None and record.acknowledged is not wanted and not _has(record, wanted) and not keeps_alert:
        actions.append(Raise(wanted))
    actions += _to_tell(record, wanted, keeps_alert=keeps_alert, now=now, policy=policy)
    return Decision(record, tuple(actions))


def _judge(
    record: GroupRecord, seen: Observation, *, is_open: bool, now: datetime, policy: AlertPolicy
) -> tuple[GroupState, AlertType | None]:
    """The group's state, and the alert that should be open."""
    if not is_open:
        return GroupState.CLOSED, None
    if seen.available is None:
        blind_for = now - (record.unknown_since or now)
        return GroupState.UNKNOWN, AlertType.MEMBERSHIP_UNKNOWN if blind_for >= policy.unknown_after else None
    if seen.available > 0:
        return GroupState.OK, None
    empty_for = now - (record.empty_since or now)
    if empty_for >= policy.grace:
        return GroupState.ALERTED, AlertType.NO_ASSIGNED_USERS
    return GroupState.SUSPECT, None


def _observed(record: GroupRecord, state: GroupState, seen: Observation, now: datetime) -> GroupRecord:
    empty = state in (GroupState.SUSPECT, GroupState.ALERTED)
    unknown = state is GroupState.UNKNOWN
    return replace(
        record,
        state=state,
        since=record.since if record.state is state and record.since else now,
        # Not being able to look does not end an episode.
        empty_since=(record.empty_since or now) if empty else record.empty_since if unknown else None,
        unknown_since=(record.unknown_since or now) if unknown else None,
        members=None if seen.members is None else len(seen.members),
        available=seen.available,
        checked_at=now,
    )


def _outlasts(acknowledged: AlertType | None, state: GroupState) -> bool:
    """Whether the episode of an acknowledged alert goes on. Not being able to look does not end it."""
    return state is GroupState.UNKNOWN or (state is GroupState.ALERTED and acknowledged is AlertType.NO_ASSIGNED_USERS)


def _has(record: GroupRecord, wanted: AlertType) -> bool:
    return record.alert is not None and record.alert.type is wanted


def _to_tell(
    record: GroupRecord, wanted: AlertType | None, *, keeps_alert: bool, now: datetime, policy: AlertPolicy
) -> list[Action]:
    if keeps_alert or (record.state is GroupState.UNKNOWN and wanted is None):
        return []  # nothing is known that could be told
    if record.told is not wanted:
        return [Tell(wanted)]
    due = policy.remind_after is not None and record.told_at is not None and now - record.told_at >= policy.remind_after
    return [Tell(wanted, reminder=True)] if wanted is not None and due else []


def raised(record: GroupRecord, alert: OpenAlert) -> GroupRecord:
    return replace(record, alert=alert)


def resolved(record: GroupRecord) -> GroupRecord:
    return replace(record, alert=None)


def told(record: GroupRecord, action: Tell, now: datetime) -> GroupRecord:
    return replace(record, told=action.type, told_at=now)


def compared_with_api(record: GroupRecord, at_api: OpenAlert | None) -> GroupRecord:
    """The record after a look at the alerts that the Call Logger has.

    An alert that it has and we do not know is adopted: it was raised just before a crash, or by an earlier integration.
    One that we know and it has no longer was ended by somebody, so this episode is acknowledged; until somebody raises
    another one of that type, because with it nothing is acknowledged any more, and it may be ended by hand as well.
    """
    if at_api is not None:
        acknowledged = None if at_api.type is record.acknowledged else record.acknowledged
        return replace(record, alert=at_api, acknowledged=acknowledged)
    if record.alert is None:
        return record
    # Without a reason for it, it was this app that ended it, just before a crash.
    by_hand = _outlasts(record.alert.type, record.state)
    return replace(record, alert=None, acknowledged=record.alert.type if by_hand else None)
