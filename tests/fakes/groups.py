"""Fakes of what the watch over call groups needs."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta

from cdr.calls.leases import LONGEST_LEASE
from cdr.groups.alerts import AlertType, GroupRecord, Member, Observation, OpenAlert
from cdr.groups.ports import Notice
from local.call_logger.store import Alert, BackendError, CallLogger, InvalidBodyError
from shared.errors import ApiRejected, ApiUnavailable, LeaseHeld
from tests.fakes.fake import LONG_AGO, Fake


class InMemoryMemberSource(Fake):
    """A MemberSource that says what a test last put into ``groups``; a group without an entry does not exist."""

    def __init__(self, groups: Mapping[str, Sequence[Member]] | None = None) -> None:
        super().__init__()
        self.groups = dict(groups or {})
        self.unknown: dict[str, str] = {}
        """Why nothing can be said of a group."""

    def put(self, group_id: str, available: Mapping[str, bool | None]) -> None:
        """Let a group have these extensions, each available, or not, or (None) nobody knows."""
        self.groups[group_id] = tuple(Member(extension, value) for extension, value in available.items())

    def observe(self, group_ids: Collection[str]) -> Mapping[str, Observation]:
        with self.operation("observe"):
            return {group_id: self._observation(group_id) for group_id in group_ids}

    def _observation(self, group_id: str) -> Observation:
        if group_id in self.unknown:
            return Observation(None, self.unknown[group_id])
        if group_id not in self.groups:
            return Observation(None, "the group does not exist in the phone system")
        return Observation(tuple(self.groups[group_id]))


class InMemoryAlertApi(Fake):
    """An AlertApi with the Call Logger's own rules."""

    def __init__(self, call_logger: CallLogger | None = None) -> None:
        super().__init__()
        self.call_logger = call_logger or CallLogger()

    @property
    def raised(self) -> list[tuple[str, str]]:
        """The group and type of each alert that was ever made, in order."""
        return [(alert["callGroupId"], alert["alertType"]) for alert in reversed(self.call_logger.alerts)]

    def active(self) -> Mapping[str, OpenAlert]:
        with self.operation("active"):
            alerts = [alert for alert in self.call_logger.alerts if alert["isActive"]]
            return {alert["callGroupId"]: _open_alert(alert) for alert in alerts if _is_ours(alert)}

    def raise_alert(self, group_id: str, name: str, kind: AlertType, message: str) -> OpenAlert:
        body = {"callGroupId": group_id, "callGroupName": name, "alertType": kind.value, "alertMessage": message}
        with self.operation("raise_alert"):
            try:
                alert = self.call_logger.raise_alert(body)
            except InvalidBodyError as exc:
                raise ApiRejected("the API answered 400") from exc
            if alert["alertType"] != kind:
                raise ApiUnavailable("the group has an active alert of another type")
            return _open_alert(alert)

    def resolve(self, alert_id: str) -> None:
        with self.operation("resolve"):
            try:
                self.call_logger.resolve_alert(alert_id)
            except BackendError as exc:
                raise ApiUnavailable("the API answered 500") from exc


def _is_ours(alert: Alert) -> bool:
    return alert["alertType"] in set(AlertType)


def _open_alert(alert: Alert) -> OpenAlert:
    return OpenAlert(alert["id"], AlertType(alert["alertType"]), datetime.fromisoformat(alert["createdAt"]))


class InMemoryNotifier(Fake):
    """A Notifier with ``webhooks`` webhooks, all of which take every notice."""

    def __init__(self, webhooks: int = 1) -> None:
        super().__init__()
        self.webhooks = webhooks
        self.notices: list[Notice] = []

    def tell(self, notice: Notice) -> int:
        with self.operation("tell"):
            if self.webhooks:
                self.notices.append(notice)
            return self.webhooks


class InMemoryGroupStore(Fake):
    """A GroupStore."""

    def __init__(self) -> None:
        super().__init__()
        self.records: dict[str, GroupRecord] = {}
        self.owner: str | None = None
        self.leased_until = LONG_AGO

    def lease(self, owner: str, now: datetime, duration: timedelta) -> None:
        with self.operation("lease"):
            if self.owner != owner and now < self.leased_until <= now + max(LONGEST_LEASE, duration):
                raise LeaseHeld(f"another check is at work until {self.leased_until:%H:%M:%S} UTC")
            self.owner, self.leased_until = owner, now + duration

    def release(self, owner: str) -> None:
        with self.operation("release"):
            if self.owner == owner:
                self.owner, self.leased_until = None, LONG_AGO

    def load(self) -> Mapping[str, GroupRecord]:
        with self.operation("load"):
            return dict(self.records)

    def save(self, group_id: str, record: GroupRecord) -> None:
        with self.operation("save"):
            self.records[group_id] = record

    def remove(self, group_id: str) -> None:
        with self.operation("remove"):
            self.records.pop(group_id, None)
