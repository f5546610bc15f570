"""What the watch over call groups needs of the outside."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal, Protocol

from cdr.groups.alerts import AlertType, GroupRecord, Observation, OpenAlert

NoticeEvent = Literal["raised", "reminder", "resolved"]


@dataclass(frozen=True, slots=True)
class Notice:
    """What people are told of a group's alert; ``alert_type`` is empty where nothing was told before."""

    event: NoticeEvent
    title: str
    text: str
    group_id: str
    group_name: str
    alert_type: str
    at: datetime


class Notifier(Protocol):
    """The webhooks."""

    def tell(self, notice: Notice) -> int:
        """:returns: how many took it
        :raises NoticeFailed: not all of them took it
        """


class MemberSource(Protocol):
    """Who belongs to a call group, and who of them is available."""

    def observe(self, group_ids: Collection[str]) -> Mapping[str, Observation]:
        """An observation of each group; one that does not exist has no members and says so.

        :raises SourceUnavailable, SourceMisconfigured: nothing can be said of any group
        """


class AlertApi(Protocol):
    """The Call Logger's alerts. Every method raises ApiUnavailable, ApiDenied or ApiRejected; ApiUnreachable, of the
    first, where nobody else would get an answer either."""

    def active(self) -> Mapping[str, OpenAlert]:
        """The active alert of each group that has one of ours."""

    def raise_alert(self, group_id: str, name: str, kind: AlertType, message: str) -> OpenAlert:
        """The new alert, or the active one of this type that the group has."""

    def resolve(self, alert_id: str) -> None: ...


class GroupStore(Protocol):
    """What is remembered of the groups, and who may check them. Every method may raise StorageUnavailable."""

    def lease(self, owner: str, now: datetime, duration: timedelta) -> None:
        """Become the only one to check, or stay it for longer.

        :raises LeaseHeld: another check is at work and its lease has not run out
        """

    def release(self, owner: str) -> None:
        """Give the lease back; if another check has it by now, it keeps it."""

    def load(self) -> Mapping[str, GroupRecord]: ...

    def save(self, group_id: str, record: GroupRecord) -> None: ...

    def remove(self, group_id: str) -> None: ...
