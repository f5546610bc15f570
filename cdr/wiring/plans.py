"""From the settings to the values that the use cases take."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from cdr.calls.call import CallRules
from cdr.groups.alerts import GroupView
from cdr.groups.hours import Hours, Span
from cdr.groups.notices import WatchedGroup
from cdr.intake.poll import PollPlan
from shared.config.groups import BusinessHours, GroupHours, Holidays, NoMembers, Week
from shared.config.settings import Settings, start_moment

POLL_LEASE = timedelta(seconds=60)
POLL_SHARE_OF_INTERVAL = 0.8


def poll_plan(settings: Settings) -> PollPlan:
    start = settings.three_cx.start_from
    zone = settings.three_cx.cdr_database.timezone
    return PollPlan(
        time_budget=timedelta(seconds=settings.three_cx.polling_interval_seconds) * POLL_SHARE_OF_INTERVAL,
        lease=POLL_LEASE,
        start_from=start_moment(start, zone) if isinstance(start, datetime) else start,
        gap_wait=settings.three_cx.gap_wait,
        open_row_wait=settings.three_cx.open_row_wait,
    )


def call_rules(settings: Settings) -> CallRules:
    calls = settings.calls
    same = asdict(CallRules()).keys() & type(calls).model_fields.keys()
    return CallRules(
        **{name: getattr(calls, name) for name in same},
        internal_digits=(calls.internal_number_digits.min, calls.internal_number_digits.max),
        emails=settings.extension_mapping,
        monitored_groups=frozenset(group.id for group in settings.call_groups.monitored_groups),
        timezone=settings.three_cx.cdr_database.timezone,
    )


def watched_groups(settings: Settings) -> list[WatchedGroup]:
    """Every monitored group with its hours; none where nobody can be asked about them."""
    groups = settings.call_groups
    if isinstance(groups.members, NoMembers):
        return []
    return [
        WatchedGroup(group.id, group.name, make_hours(settings.business_hours, group.business_hours))
        for group in groups.monitored_groups
    ]


def make_hours(common: BusinessHours, own: GroupHours | None = None) -> Hours:
    """The common hours, or a group's own, which take what they leave open from the common ones."""
    week: Week = own or common
    zone = (own and own.timezone) or common.timezone
    holidays = (own and own.holidays) or common.holidays
    spans = {day: [Span(s.start, s.end, s.overnight) for s in week.spans(day)] for day in range(7)}
    return Hours(ZoneInfo(zone), spans, holiday_rule(holidays))


def holiday_rule(settings: Holidays) -> Callable[[date], bool]:
    own = frozenset(settings.dates)
    if settings.country is None:
        return own.__contains__
    import holidays

    public = holidays.country_holidays(settings.country, subdiv=settings.subdivision)
    return lambda day: day in own or day in public


def hours_status(hours: Hours, now: datetime) -> dict[str, Any]:
    changes = hours.next_change(now)
    return {
        "open": hours.is_open(now),
        "changes_at": changes.astimezone(hours.zone).isoformat(timespec="minutes") if changes else None,
        "timezone": hours.zone.key,
    }


def group_status(view: GroupView) -> dict[str, Any]:
    if view.state is None:
        return {"state": "not checked yet"}
    return {
        "state": view.state.value,
        "since": _moment(view.since),
        "members": view.members,
        "available": view.available,
        "alert_id": view.alert_id,
        "last_check": _moment(view.last_check),
        **({"resolved_by_hand": view.resolved_by_hand.value} if view.resolved_by_hand else {}),
    }


def _moment(moment: datetime | None) -> str | None:
    return moment.isoformat(timespec="seconds") if moment else None
