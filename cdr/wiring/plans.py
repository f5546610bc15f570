"""From the settings to the plain values that the use cases take, each field by its name."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

from cdr.calls.rules import CallRules
from cdr.groups.alerts import AlertPolicy
from cdr.groups.hours import Hours, Span
from cdr.groups.notices import WatchedGroup
from cdr.intake.folding.fold import FoldOptions
from cdr.intake.id_order.table import RowPatience
from cdr.intake.ports import StartFrom
from cdr.intake.time_order.reader import LegPatience
from cdr.intake.window_order.report import ReportPatience
from shared.config.calls import Calls
from shared.config.groups import CallGroups, NoMembers
from shared.config.hours import BusinessHours, GroupHours, Holidays, Week
from shared.config.phone_system import ThreeCx, start_moment
from shared.config.settings import Settings


def start_from(three_cx: ThreeCx) -> StartFrom:
    start = three_cx.start_from
    return start_moment(start, three_cx.timezone) if isinstance(start, datetime) else start


def row_patience(three_cx: ThreeCx) -> RowPatience:
    settle = timedelta(seconds=three_cx.settle_seconds)
    return RowPatience(gap_wait=three_cx.gap_wait, open_row_wait=three_cx.open_row_wait, settle=settle)


def leg_patience(three_cx: ThreeCx) -> LegPatience:
    """Most of what comes late is late by less than the most; into a replica by the schedule of what writes it, and that
    may just have missed one."""
    copied = 2 * (three_cx.replica_delay or timedelta())
    late = three_cx.late_leg_wait
    return LegPatience(late + copied, min(LegPatience().settle, late) + copied, three_cx.open_row_wait)


def report_patience(three_cx: ThreeCx) -> ReportPatience:
    return ReportPatience(open_row_wait=three_cx.open_row_wait)


def fold_options(calls: Calls) -> FoldOptions:
    return FoldOptions(owner=calls.owner, duration=calls.duration)


def call_rules(settings: Settings) -> CallRules:
    calls = settings.calls
    return CallRules(
        include_internal=calls.include_internal,
        include_unanswered=calls.include_unanswered,
        internal_digits=(calls.internal_number_digits.min, calls.internal_number_digits.max),
        phone_format=calls.phone_format,
        default_region=calls.default_region,
        anonymous_number=calls.anonymous_number,
        unmapped_extensions=calls.unmapped_extensions,
        pbx_call_id=calls.pbx_call_id,
        call_group=calls.call_group,
        emails=settings.extension_mapping,
        monitored_groups=frozenset(group.id for group in settings.call_groups.monitored_groups),
        timezone=settings.three_cx.timezone,
    )


def watched_groups(settings: Settings) -> list[WatchedGroup]:
    """Every monitored group with its hours; none where nobody can be asked about them."""
    groups = settings.call_groups
    if isinstance(groups.members, NoMembers):
        return []
    return [
        WatchedGroup(id=group.id, name=group.name, hours=make_hours(settings.business_hours, group.business_hours))
        for group in groups.monitored_groups
    ]


def alert_policy(groups: CallGroups) -> AlertPolicy:
    return AlertPolicy(
        grace=timedelta(minutes=groups.grace_minutes),
        unknown_after=groups.unknown_after,
        remind_after=groups.remind_after,
    )


def make_hours(common: BusinessHours, own: GroupHours | None = None) -> Hours:
    """The common hours, or a group's own, which take what they leave open from the common ones."""
    week: Week = own or common
    zone = (own and own.timezone) or common.timezone
    holidays = (own and own.holidays) or common.holidays
    spans = {day: [Span(start=s.start, end=s.end, overnight=s.overnight) for s in week.spans(day)] for day in range(7)}
    return Hours(ZoneInfo(zone), spans, holiday_rule(holidays))


def holiday_rule(settings: Holidays) -> Callable[[date], bool]:
    own = frozenset(settings.dates)
    if settings.country is None:
        return own.__contains__
    import holidays

    public = holidays.country_holidays(settings.country, subdiv=settings.subdivision)
    return lambda day: day in own or day in public
