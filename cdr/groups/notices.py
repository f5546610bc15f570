"""A monitored group, and what people are told of it. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from cdr.groups.alerts import AlertType, GroupRecord, Observation, Tell
from cdr.groups.hours import Hours
from cdr.groups.ports import Notice, NoticeEvent


@dataclass(frozen=True, slots=True)
class WatchedGroup:
    """``hours`` None: the group is not monitored any more, and only its alert is still to be resolved."""

    id: str
    name: str
    hours: Hours | None

    def is_open(self, now: datetime) -> bool:
        return self.hours is not None and self.hours.is_open(now)


def notice_of(group: WatchedGroup, action: Tell, record: GroupRecord, seen: Observation, now: datetime) -> Notice:
    kind = action.type or record.told
    event: NoticeEvent = "resolved"
    title, text = f"Call group {_label(group)}: resolved", "The alert is over."
    if action.type is not None:
        event = "reminder" if action.reminder else "raised"
        title, text = f"Call group {_label(group)}: alert", sentence_of(group, action.type, seen)
    return Notice(event, title, text, group.id, group.name, kind.value if kind else "", now)


def _label(group: WatchedGroup) -> str:
    return f"{group.id} ({group.name})" if group.name else group.id


def sentence_of(group: WatchedGroup, kind: AlertType, seen: Observation) -> str:
    """What an alert says."""
    if kind is AlertType.NO_ASSIGNED_USERS:
        count = len(seen.members or ())
        return f"Call group {_label(group)} has no available user; it has {count} member{'s' * (count != 1)}."
    return f"It is not known whether call group {_label(group)} has an available user: {seen.problem or 'no answer'}."
