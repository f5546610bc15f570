"""Use case: look at every monitored call group, and raise or resolve its alert."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal, TypeVar
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
from cdr.groups.notices import WatchedGroup, notice_of, sentence_of
from cdr.groups.ports import AlertApi, GroupStore, MemberSource, Notifier
from shared import log
from shared.clock import Clock
from shared.errors import (
    ApiDenied,
    ApiRejected,
    ApiUnavailable,
    ApiUnreachable,
    ConfigError,
    LeaseHeld,
    LeaseLost,
    NoticeFailed,
    PipelineError,
    TransientError,
)

Found = TypeVar("Found")


@dataclass(frozen=True, slots=True)
class GroupCheck:
    """What groups are checked with.

    One check at a time, for which there is a ``lease``. ``longest_step`` of it is left at least when a group's turn
    comes: enough for the requests of one group, each with its time-out.
    """

    members: MemberSource
    alerts: AlertApi
    notifier: Notifier
    store: GroupStore
    clock: Clock
    policy: AlertPolicy
    lease: timedelta
    longest_step: timedelta


@dataclass(frozen=True, slots=True)
class GroupReport:
    """What a check found out about a group and did for it, in words."""

    id: str
    name: str
    state: GroupState
    members: int | None
    available: int | None
    problem: str | None
    done: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class GroupsOutcome:
    result: Literal["finished", "held"]
    groups: tuple[GroupReport, ...] = ()


def check(groups: Sequence[WatchedGroup], group_check: GroupCheck) -> GroupsOutcome:
    """Check every group once. What cannot be done now is decided again at the next check; a check that fails as a whole
    is one log line.

    :raises StorageUnavailable: the records of the groups are out of reach
    """
    try:
        return _check(groups, group_check)
    except Exception as exc:
        log.event("groups.failed", level=logging.ERROR, error=type(exc).__name__, reason=log.mask_numbers(str(exc)))
        raise


def _check(groups: Sequence[WatchedGroup], group_check: GroupCheck) -> GroupsOutcome:
    lease, reports = _Lease(group_check), []
    try:
        lease.take()
    except LeaseHeld as exc:
        log.event("groups.held", reason=str(exc))
        return GroupsOutcome("held")
    try:
        records = group_check.store.load()
        alerts = _OneOutage(group_check.alerts)
        active = _active_alerts(alerts)
        lease.keep()
        seen = _observe(groups, group_check)
        for group in groups:
            lease.keep()
            record = records.get(group.id, GroupRecord())
            reports.append(_OneGroup(group, seen[group.id], group_check, alerts, record).run(active))
        for group_id in sorted(records.keys() - {group.id for group in groups}):
            lease.keep()
            gone = WatchedGroup(group_id, group_id, None)
            _let_go(_OneGroup(gone, NOT_MONITORED, group_check, alerts, records[group_id]), active)
    except (LeaseHeld, LeaseLost) as exc:
        log.event("groups.held", reason=str(exc))
        return GroupsOutcome("held", tuple(reports))
    finally:
        group_check.store.release(lease.owner)
    log.event("groups.checked", groups=len(reports), alerted=sum(r.state is GroupState.ALERTED for r in reports))
    return GroupsOutcome("finished", tuple(reports))


CLOSED = Observation(None, "outside of business hours")
NOT_MONITORED = Observation(None, "not monitored any more")


@dataclass
class _Lease:
    """The right to check groups, renewed before it could run out: with many groups and a slow API a check is long."""

    group_check: GroupCheck
    owner: str = field(default_factory=lambda: uuid4().hex)
    _until: datetime | None = None

    def take(self) -> None:
        now = self.group_check.clock.now()
        self.group_check.store.lease(self.owner, now, self.group_check.lease)
        self._until = now + self.group_check.lease

    def keep(self) -> None:
        """:raises LeaseLost: it has run out, and what was loaded may have changed since"""
        left = self._until - self.group_check.clock.now() if self._until else timedelta()
        if left <= timedelta():
            raise LeaseLost("the check came to a halt for longer than its lease")
        if left < self.group_check.longest_step:
            self.take()


@dataclass
class _OneOutage:
    """An AlertApi that is asked until it turns out that nobody gets an answer from it now: with ten groups and an API
    that hangs, a check would wait ten times for what it knows after the first."""

    api: AlertApi
    outage: ApiUnreachable | ApiDenied | None = None

    def active(self) -> Mapping[str, OpenAlert]:
        return self._ask(self.api.active)

    def raise_alert(self, group_id: str, name: str, kind: AlertType, message: str) -> OpenAlert:
        return self._ask(lambda: self.api.raise_alert(group_id, name, kind, message))

    def resolve(self, alert_id: str) -> None:
        self._ask(lambda: self.api.resolve(alert_id))

    def _ask(self, ask: Callable[[], Found]) -> Found:
        if self.outage is not None:
            raise ApiUnavailable(f"not asked again in this check: {self.outage}")
        try:
            return ask()
        except (ApiUnreachable, ApiDenied) as exc:
            self.outage = exc
            raise


def _active_alerts(alerts: AlertApi) -> Mapping[str, OpenAlert] | None:
    try:
        return alerts.active()
    except PipelineError as exc:
        log.event("alert.failed", level=logging.WARNING, reason=log.mask_numbers(str(exc)))
        return None


def _observe(groups: Sequence[WatchedGroup], group_check: GroupCheck) -> dict[str, Observation]:
    """Outside of business hours nobody is asked."""
    now = group_check.clock.now()
    asked = [group for group in groups if group.is_open(now)]
    try:
        found = group_check.members.observe([group.id for group in asked]) if asked else {}
    except (ConfigError, TransientError) as exc:
        log.event("groups.unknown", level=logging.WARNING, error=type(exc).__name__, reason=str(exc))
        found = {group.id: Observation(None, str(exc)) for group in asked}
    else:
        _report_unknown(asked, found)
    return {group.id: found.get(group.id, CLOSED) for group in groups}


def _report_unknown(asked: Sequence[WatchedGroup], found: Mapping[str, Observation]) -> None:
    """Of which groups nothing is known, although the others are: a wrong number may stand in the configuration."""
    for group in asked:
        seen = found.get(group.id)
        if seen is not None and seen.available is None:
            reason = seen.problem or "of its members nobody says whether they are available"
            log.event("groups.unknown", level=logging.WARNING, **_name_of(group), reason=reason)


def _name_of(group: WatchedGroup) -> dict[str, str | None]:
    """How lines of the log name it."""
    return {"group": group.id, "group_name": group.name or None}


@dataclass
class _OneGroup:
    """The check of one group under way."""

    group: WatchedGroup
    seen: Observation
    group_check: GroupCheck
    alerts: AlertApi
    record: GroupRecord
    done: list[str] = field(default_factory=list)

    def run(self, active: Mapping[str, OpenAlert] | None) -> GroupReport:
        before, now = self.record.state, self.group_check.clock.now()
        if active is not None:
            self.record = compared_with_api(self.record, active.get(self.group.id))
        is_open = self.group.is_open(now)
        decision = decide(self.record, self.seen, is_open=is_open, now=now, policy=self.group_check.policy)
        self._save(decision.record)
        for action in decision.actions:
            self._act(action)
        self._report_change(before)
        counts = self.record.members, self.record.available
        return GroupReport(
            self.group.id, self.group.name, self.record.state, *counts, self.seen.problem or None, tuple(self.done)
        )

    def _save(self, record: GroupRecord) -> None:
        """After each step, and before the first: so a crash leaves behind what was done by us and what was not."""
        self.group_check.store.save(self.group.id, record)
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
            log.event("alert.failed", level=logging.ERROR, **_name_of(self.group), reason=log.mask_numbers(str(exc)))

    def _raise(self, kind: AlertType) -> None:
        sentence = sentence_of(self.group, kind, self.seen)
        alert = self.alerts.raise_alert(self.group.id, self.group.name, kind, sentence)
        log.event("alert.raised", level=logging.WARNING, **_name_of(self.group), type=kind.value, alert_id=alert.id)
        self.done.append(f"raised {kind.value}")
        self._save(raised(self.record, alert))

    def _resolve(self, alert_id: str) -> None:
        self.alerts.resolve(alert_id)
        log.event("alert.resolved", level=logging.INFO, **_name_of(self.group), alert_id=alert_id)
        self.done.append("resolved")
        self._save(resolved(self.record))

    def _tell(self, action: Tell) -> None:
        """A webhook that fails is not asked again: it must not hold up the alert, nor tell of it twice."""
        notice = notice_of(self.group, action, self.record, self.seen, self.group_check.clock.now())
        try:
            if self.group_check.notifier.tell(notice):
                self.done.append(f"told ({notice.event})")
        except NoticeFailed as exc:
            self.done.append(f"not told: {exc}")
            log.event("notice.failed", level=logging.WARNING, **_name_of(self.group), reason=str(exc))
        self._save(told(self.record, action, notice.at))

    def _report_change(self, before: GroupState) -> None:
        if self.record.state is not before:
            log.event(
                "group.changed",
                level=logging.INFO,
                **_name_of(self.group),
                before=before.value,
                after=self.record.state.value,
                members=self.record.members,
                available=self.record.available,
                reason=self.seen.problem or None,
            )


def _let_go(gone: _OneGroup, active: Mapping[str, OpenAlert] | None) -> None:
    """A group that is not monitored any more keeps no alert; its record goes once that is certain."""
    gone.run(active)
    if active is not None and gone.record.alert is None:
        gone.group_check.store.remove(gone.group.id)
