"""Use case: look at every monitored call group, and raise or resolve its alert."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal
from uuid import uuid4

from cdr.groups.alerts import (
    Action,
    AlertPolicy,
    AlertType,
    GroupRecord,
    GroupState,
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
)
from cdr.groups.hours import Hours
from cdr.groups.ports import AlertApi, GroupStore, MemberSource, Notice, Notifier
from shared import log
from shared.clock import Clock
from shared.errors import (
    ApiDenied,
    ApiRejected,
    ApiUnavailable,
    ConfigError,
    LeaseHeld,
    LeaseLost,
    NoticeFailed,
    PipelineError,
    TransientError,
)

LEASE = timedelta(minutes=3)
LONGEST_STEP = timedelta(seconds=150)
"""What is left of the lease at least when a group's turn comes: enough for its requests, each with its time-out."""


@dataclass(frozen=True, slots=True)
class WatchedGroup:
    """``hours`` None: the group is not monitored any more, and only its alert is still to be resolved."""

    id: str
    name: str
    hours: Hours | None

    def is_open(self, now: datetime) -> bool:
        return self.hours is not None and self.hours.is_open(now)


@dataclass(frozen=True, slots=True)
class GroupReport:
    """What a check found out about a group and did for it."""

    id: str
    name: str
    state: str
    members: int | None
    available: int | None
    problem: str | None
    done: list[str]


@dataclass(frozen=True, slots=True)
class GroupsOutcome:
    result: Literal["finished", "held"]
    groups: list[GroupReport] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Watch:
    """What groups are checked with."""

    members: MemberSource
    alerts: AlertApi
    notifier: Notifier
    store: GroupStore
    clock: Clock
    policy: AlertPolicy


def check_groups(groups: Sequence[WatchedGroup], watch: Watch) -> GroupsOutcome:
    """Check every group once. What cannot be done now is decided again at the next check; a check that fails as a whole
    is one log line.

    :raises StorageUnavailable: the records of the groups are out of reach
    """
    try:
        return _check(groups, watch)
    except Exception as exc:
        log.event("groups.failed", level=logging.ERROR, error=type(exc).__name__, reason=log.mask_numbers(str(exc)))
        raise


def _check(groups: Sequence[WatchedGroup], watch: Watch) -> GroupsOutcome:
    lease, reports = _Lease(watch), []
    try:
        lease.take()
    except LeaseHeld as exc:
        log.event("groups.held", reason=str(exc))
        return GroupsOutcome("held")
    try:
        records = watch.store.load()
        active = _active_alerts(watch)
        lease.keep()
        seen = _observe(groups, watch)
        for group in groups:
            lease.keep()
            record = records.get(group.id, GroupRecord())
            reports.append(_GroupCheck(group, seen[group.id], watch, record).run(active))
        for group_id in sorted(records.keys() - {group.id for group in groups}):
            lease.keep()
            _let_go(WatchedGroup(group_id, group_id, None), records[group_id], active, watch)
    except (LeaseHeld, LeaseLost) as exc:
        log.event("groups.held", reason=str(exc))
        return GroupsOutcome("held", reports)
    finally:
        watch.store.release(lease.owner)
    log.event("groups.checked", groups=len(reports), alerted=sum(r.state == GroupState.ALERTED for r in reports))
    return GroupsOutcome("finished", reports)


@dataclass
class _Lease:
    """The right to check groups, renewed before it could run out: with many groups and a slow API a check is long."""

    watch: Watch
    owner: str = field(default_factory=lambda: uuid4().hex)
    _until: datetime | None = None

    def take(self) -> None:
        now = self.watch.clock.now()
        self.watch.store.lease(self.owner, now, LEASE)
        self._until = now + LEASE

    def keep(self) -> None:
        """:raises LeaseLost: it has run out, and what was loaded may have changed since"""
        left = self._until - self.watch.clock.now() if self._until else timedelta()
        if left <= timedelta():
            raise LeaseLost("the check came to a halt for longer than its lease")
        if left < LONGEST_STEP:
            self.take()


def _active_alerts(watch: Watch) -> Mapping[str, OpenAlert] | None:
    try:
        return watch.alerts.active()
    except PipelineError as exc:
        log.event("alert.failed", level=logging.WARNING, reason=log.mask_numbers(str(exc)))
        return None


def _observe(groups: Sequence[WatchedGroup], watch: Watch) -> dict[str, Observation]:
    """Outside of business hours nobody is asked."""
    closed = Observation(None, "outside of business hours")
    now = watch.clock.now()
    wanted = [group.id for group in groups if group.is_open(now)]
    try:
        found = watch.members.observe(wanted) if wanted else {}
    except (ConfigError, TransientError) as exc:
        log.event("groups.unknown", level=logging.WARNING, error=type(exc).__name__, reason=str(exc))
        found = {group_id: Observation(None, str(exc)) for group_id in wanted}
    return {group.id: found.get(group.id, closed) for group in groups}


@dataclass
class _GroupCheck:
    """The check of one group under way."""

    group: WatchedGroup
    seen: Observation
    watch: Watch
    record: GroupRecord
    done: list[str] = field(default_factory=list)

    def run(self, active: Mapping[str, OpenAlert] | None) -> GroupReport:
        before, now = self.record.state, self.watch.clock.now()
        if active is not None:
            self.record = compared_with_api(self.record, active.get(self.group.id))
        is_open = self.group.is_open(now)
        decision = decide(self.record, self.seen, is_open=is_open, now=now, policy=self.watch.policy)
        self._save(decision.record)
        for action in decision.actions:
            self._act(action)
        self._report_change(before)
        counts = self.record.members, self.record.available
        return GroupReport(
            self.group.id, self.group.name, self.record.state.value, *counts, self.seen.problem or None, self.done
        )

    def _save(self, record: GroupRecord) -> None:
        """After each step, and before the first: so a crash leaves behind what was done by us and what was not."""
        self.watch.store.save(self.group.id, record)
        self.record = record

    def _act(self, action: Action) -> None:
        try:
            match action:
                case Raise(kind):
                    self._raise(kind)
                case Resolve(alert_id):
                    self._resolve(alert_id)
                case Tell():
                    self._tell(action)
        except (ApiUnavailable, ApiDenied, ApiRejected) as exc:
            self.done.append(f"failed: {exc}")
            log.event("alert.failed", level=logging.ERROR, group=self.group.id, reason=log.mask_numbers(str(exc)))

    def _raise(self, kind: AlertType) -> None:
        sentence = _sentence(self.group, kind, self.seen)
        alert = self.watch.alerts.raise_alert(self.group.id, self.group.name, kind, sentence)
        log.event("alert.raised", level=logging.WARNING, group=self.group.id, type=kind.value, alert_id=alert.id)
        self.done.append(f"raised {kind.value}")
        self._save(raised(self.record, alert))

    def _resolve(self, alert_id: str) -> None:
        self.watch.alerts.resolve(alert_id)
        log.event("alert.resolved", group=self.group.id, alert_id=alert_id)
        self.done.append("resolved")
        self._save(resolved(self.record))

    def _tell(self, action: Tell) -> None:
        """A webhook that fails is not asked again: it must not hold up the alert, nor tell of it twice."""
        notice = _notice(self.group, action, self.record, self.seen, self.watch.clock.now())
        try:
            if self.watch.notifier.tell(notice):
                self.done.append(f"told ({notice.event})")
        except NoticeFailed as exc:
            self.done.append(f"not told: {exc}")
            log.event("notice.failed", level=logging.WARNING, group=self.group.id, reason=str(exc))
        self._save(told(self.record, action, notice.at))

    def _report_change(self, before: GroupState) -> None:
        if self.record.state is not before:
            log.event(
                "group.changed",
                group=self.group.id,
                before=before.value,
                after=self.record.state.value,
                members=self.record.members,
                available=self.record.available,
                reason=self.seen.problem or None,
            )


def _let_go(group: WatchedGroup, record: GroupRecord, active: Mapping[str, OpenAlert] | None, watch: Watch) -> None:
    """A group that is not monitored any more keeps no alert; its record goes once that is certain."""
    check = _GroupCheck(group, Observation(None, "not monitored any more"), watch, record)
    check.run(active)
    if active is not None and check.record.alert is None:
        watch.store.remove(group.id)


def _notice(group: WatchedGroup, action: Tell, record: GroupRecord, seen: Observation, now: datetime) -> Notice:
    kind = action.type or record.told
    if action.type is None:
        event, title, text = "resolved", f"Call group {_label(group)}: resolved", "The alert is over."
    else:
        event = "reminder" if action.reminder else "raised"
        title, text = f"Call group {_label(group)}: alert", _sentence(group, action.type, seen)
    return Notice(event, title, text, group.id, group.name, kind.value if kind else "", now)


def _label(group: WatchedGroup) -> str:
    return f"{group.id} ({group.name})" if group.name else group.id


def _sentence(group: WatchedGroup, kind: AlertType, seen: Observation) -> str:
    if kind is AlertType.NO_ASSIGNED_USERS:
        count = len(seen.members or ())
        return f"Call group {_label(group)} has no available user; it has {count} member{'s' * (count != 1)}."
    return f"It is not known whether call group {_label(group)} has an available user: {seen.problem or 'no answer'}."


def group_status(record: GroupRecord | None) -> dict[str, Any]:
    """A group's record for ``status``."""
    if record is None:
        return {"state": "not checked yet"}
    return {
        "state": record.state.value,
        "since": record.since.isoformat(timespec="seconds") if record.since else None,
        "members": record.members,
        "available": record.available,
        "alert_id": record.alert.id if record.alert else None,
        "last_check": record.checked_at.isoformat(timespec="seconds") if record.checked_at else None,
    }
