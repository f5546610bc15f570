"""A check of the call groups: what it sees, does, writes down, reports and logs.

What is decided for a group is shown in test_alerts.py, what holds for any history in test_life_of_alerts.py.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from cdr.groups.alerts import AlertPolicy, AlertType, Member, Observation
from cdr.groups.check import GroupCheck, GroupsOutcome, check
from cdr.groups.hours import Hours, Span
from cdr.groups.notices import WatchedGroup, sentence_of
from cdr.wiring.times import Times
from shared.errors import (
    ApiDenied,
    ApiRejected,
    ApiUnavailable,
    ApiUnreachable,
    NoticeFailed,
    SourceMisconfigured,
    SourceUnavailable,
    StorageUnavailable,
)
from tests.fakes.clock import HandMovedClock
from tests.fakes.groups import InMemoryAlertApi, InMemoryGroupStore, InMemoryMemberSource, InMemoryNotifier

NOBODY, BLIND = AlertType.NO_ASSIGNED_USERS.value, AlertType.MEMBERSHIP_UNKNOWN.value
CHECK_INTERVAL, LEASE = timedelta(minutes=5), timedelta(minutes=3)
ALWAYS = Hours(ZoneInfo("UTC"), {day: [Span(time(), time(), overnight=True)] for day in range(7)})
UNTIL_1230 = Hours(ZoneInfo("UTC"), {6: [Span(time(), time(12, 30))]})
NEVER = Hours(ZoneInfo("UTC"), {})
SALES, SUPPORT = WatchedGroup("800", "Sales", ALWAYS), WatchedGroup("801", "Support", ALWAYS)
MISSING = "the group does not exist in the phone system"

Check = Callable[..., GroupsOutcome]


def make_check(*parts: Any, **changed: Any) -> GroupCheck:
    times = Times()
    usual = {"policy": AlertPolicy(), "lease": times.groups_lease, "longest_step": times.groups_longest_step}
    return GroupCheck(*parts, **usual | changed)


class Site:
    """The parts of a check, and what is seen of them from outside. ``before_each`` happens before a part is asked."""

    def __init__(self, clock: HandMovedClock, events: Any) -> None:
        self.clock, self.events = clock, events
        self.members, self.notifier, self.store = InMemoryMemberSource(), InMemoryNotifier(), InMemoryGroupStore()
        self.alerts = InMemoryAlertApi()
        self.alerts.call_logger.now = clock.now
        self.before_each: Callable[[str, tuple[Any, ...]], object] = lambda name, arguments: None
        self.members.put("800", {"101": True, "102": False})
        self.members.put("801", {"103": True})

    def look(self, *groups: WatchedGroup, later: timedelta = CHECK_INTERVAL, **changed: Any) -> GroupsOutcome:
        """The next check, an interval after the last one."""
        self.clock.move(later)
        members, alerts = (_Watched(part, self) for part in (self.members, self.alerts))
        parts: Any = (members, alerts, self.notifier, self.store, self.clock)
        return check(groups or (SALES, SUPPORT), make_check(*parts, **changed))

    def done(self, *groups: WatchedGroup) -> dict[str, list[str]]:
        return done(self.look(*groups))

    @property
    def active(self) -> list[tuple[str, str]]:
        alerts = self.alerts.call_logger.alerts
        return sorted((found["callGroupId"], found["alertType"]) for found in alerts if found["isActive"])

    @property
    def told(self) -> list[tuple[str, str, str]]:
        return [(notice.group_id, notice.event, notice.alert_type) for notice in self.notifier.notices]


def done(outcome: GroupsOutcome) -> dict[str, list[str]]:
    return {report.id: list(report.done) for report in outcome.groups}


class _Watched:
    def __init__(self, part: object, site: Site) -> None:
        self._part, self._site = part, site

    def __getattr__(self, name: str) -> Any:
        def ask(*arguments: Any) -> Any:
            self._site.before_each(name, arguments)
            return getattr(self._part, name)(*arguments)

        return ask


@pytest.fixture
def site(clock: HandMovedClock, events: Any) -> Site:
    return Site(clock, events)


# From empty to staffed


def test_an_empty_group_has_one_alert_until_somebody_is_back(site: Site) -> None:
    site.members.put("801", {"103": False})
    first = site.look()
    sales, support = first.groups
    assert first.result == "finished"
    assert (sales.id, sales.name, sales.state, sales.members, sales.available) == ("800", "Sales", "ok", 2, 1)
    assert (support.state, support.members, support.available, support.problem) == ("alerted", 1, 0, None)
    assert done(first) == {"800": [], "801": [f"raised {NOBODY}", "told (raised)"]}
    (alert,) = site.alerts.call_logger.alerts
    assert (alert["callGroupName"], alert["alertType"]) == ("Support", NOBODY)
    assert alert["alertMessage"] == "Call group 801 (Support) has no available user; it has 1 member."

    assert site.done() == site.done() == {"800": [], "801": []}
    assert site.store.records["801"].alert.id == alert["id"]
    assert site.store.records["801"].since == site.clock.now() - 2 * CHECK_INTERVAL

    site.members.put("801", {"103": False, "104": True})
    assert site.done() == {"800": [], "801": ["resolved", "told (resolved)"]}
    assert (site.active, site.alerts.raised) == ([], [("801", NOBODY)])
    assert site.told == [("801", "raised", NOBODY), ("801", "resolved", NOBODY)]
    assert [name for name in site.events.names if name.startswith(("group.", "alert."))] == [
        "group.changed",  # 800: closed, as everything is that was never looked at, to ok
        "alert.raised",
        "group.changed",
        "alert.resolved",
        "group.changed",
    ]
    named = {"group": "801", "group_name": "Support"}
    raised = {"event": "alert.raised", "type": NOBODY, "alert_id": alert["id"], "level": "WARNING"}
    assert site.events.only("alert.raised") == raised | named
    changed = {"event": "group.changed", "before": "alerted", "after": "ok", "members": 2, "available": 1}
    assert site.events.named("group.changed")[-1] == changed | named | {"level": "INFO"}
    assert [event["alerted"] for event in site.events.named("groups.checked")] == [1, 1, 1, 0]


@pytest.mark.parametrize(("count", "said"), [(0, "0 members"), (1, "1 member"), (2, "2 members")])
def test_an_alert_says_how_many_members_there_are(count: int, said: str) -> None:
    seen = Observation([Member(str(number), available=False) for number in range(count)])
    assert sentence_of(SUPPORT, AlertType.NO_ASSIGNED_USERS, seen).endswith(f"; it has {said}.")


def test_an_alert_ends_with_the_business_hours(site: Site) -> None:
    group = WatchedGroup("800", "", UNTIL_1230)
    site.members.put("800", {})
    assert [site.look(group).groups[0].state for _ in range(6)] == ["alerted"] * 5 + ["closed"]
    assert site.active == []
    assert site.alerts.call_logger.alerts[0]["alertMessage"].startswith(
        "Call group 800 has no available user; it has 0 mem"
    )


def test_nobody_is_asked_outside_of_business_hours(site: Site) -> None:
    asked: list[object] = []
    site.before_each = lambda name, arguments: asked.extend(*arguments) if name == "observe" else None
    closed = site.look(SALES, WatchedGroup("801", "Support", NEVER)).groups[1]
    site.look(WatchedGroup("800", "Sales", NEVER))
    assert asked == ["800"]
    assert (closed.state, closed.members, closed.problem) == ("closed", None, "outside of business hours")


# When nobody knows


@pytest.mark.parametrize("error", [SourceUnavailable("no route to host"), SourceMisconfigured("no such table")])
def test_without_the_members_an_alert_stays_as_it_is_and_the_reason_is_reported(site: Site, error) -> None:
    site.members.put("800", {})
    site.look()
    site.members.fail_at(1, error)
    outcome = site.look()
    assert [(report.state, report.problem) for report in outcome.groups] == [("unknown", str(error))] * 2
    assert done(outcome) == {"800": [], "801": []}
    assert site.active == [("800", NOBODY)]  # neither resolved nor raised by a guess
    assert (
        site.events.only("groups.unknown")["reason"] == site.events.named("group.changed")[-1]["reason"] == str(error)
    )


def test_blindness_is_noticed_after_15_minutes_once_for_each_group(site: Site) -> None:
    states = []
    for _ in range(6):
        site.members.fail_at(1, SourceUnavailable("no route to host"))
        site.look()
        states.append(site.active)
    assert states == [[]] * 3 + [[("800", BLIND), ("801", BLIND)]] * 3
    assert len(site.alerts.raised) == 2
    assert site.alerts.call_logger.alerts[0]["alertMessage"] == (
        "It is not known whether call group 801 (Support) has an available user: no route to host."
    )
    assert site.done() == {name: ["resolved", "told (resolved)"] for name in ("800", "801")}
    assert site.active == []
    assert site.told[-1] == ("801", "resolved", BLIND)


def test_a_group_that_the_phone_system_does_not_know_is_named(site: Site) -> None:
    del site.members.groups["801"]
    assert [(report.state, report.problem) for report in site.look().groups] == [("ok", None), ("unknown", MISSING)]
    changed, unknown = site.events.named("group.changed")[-1], site.events.only("groups.unknown")
    assert (changed["group"], changed["reason"]) == ("801", MISSING)
    assert unknown == {
        "event": "groups.unknown",
        "level": "WARNING",
        "group": "801",
        "group_name": "Support",
        "reason": MISSING,
    }
    for _ in range(3):
        site.look()
    assert site.active == [("801", BLIND)]
    assert site.alerts.call_logger.alerts[0]["alertMessage"].endswith(f"{MISSING}.")


# One check at a time


def test_while_another_check_is_at_work_this_one_does_nothing(site: Site) -> None:
    site.members.put("800", {})
    site.store.lease("another instance", site.clock.now() + CHECK_INTERVAL, LEASE)
    assert site.look() == GroupsOutcome("held", ())
    assert (site.members.operations, site.alerts.operations, site.store.records) == ([], [], {})
    assert site.events.only("groups.held")["reason"].startswith("another check is at work")
    assert site.look().result == "finished"  # that one has died, for all we know


def test_a_check_gives_its_lease_back_also_when_it_fails(site: Site) -> None:
    site.look()
    assert site.store.owner is None
    site.store.fail_at(2, StorageUnavailable("503"))
    with pytest.raises(StorageUnavailable):
        site.look()
    assert site.store.owner is None


@pytest.mark.parametrize("lease", [timedelta(minutes=3), timedelta(hours=3)])
def test_a_long_check_stays_the_only_one(site: Site, lease: timedelta) -> None:
    """With an API that takes a third of the lease for every alert, ten groups take more than three leases."""
    groups = [WatchedGroup(str(800 + n), "", ALWAYS) for n in range(10)]
    for group in groups:
        site.members.put(group.id, {})
    times, others = {"lease": lease, "longest_step": lease * 0.9}, []

    def slowly(name: str, _: object) -> None:
        if name == "raise_alert":
            others.append(site.look(*groups, later=lease / 3, **times).result)

    site.before_each = slowly
    assert site.look(*groups, **times).result == "finished"
    assert others == ["held"] * 10
    assert len(site.alerts.raised) == 10


@pytest.mark.parametrize("halt", [LEASE, 2 * LEASE])
def test_a_check_that_came_to_a_halt_does_not_go_on_with_what_it_once_loaded(site: Site, halt: timedelta) -> None:
    """The machine slept while it asked for members; meanwhile another instance has checked, and everything changed."""
    site.members.put("800", {})
    checks = []

    def asleep(name: str, _: object) -> None:
        if name == "observe" and not checks:
            checks.append("the first")
            checks.append(site.look(SALES, later=halt).result)

    site.before_each = asleep
    assert site.look(SALES) == GroupsOutcome("held", ())
    assert (checks, site.alerts.raised) == (["the first", "finished"], [("800", NOBODY)])


# Failures on the way


@pytest.mark.parametrize("error", [ApiUnavailable("no answer"), ApiDenied("401"), ApiRejected("400")])
def test_what_the_api_did_not_take_is_done_at_the_next_check(site: Site, error) -> None:
    site.members.put("800", {})
    site.alerts.fail_at(2, error)
    assert site.done()["800"] == [f"failed: {error}", "told (raised)"]
    failed = site.events.only("alert.failed")
    assert (failed["group"], failed["reason"], failed["level"]) == ("800", str(error), "ERROR")
    assert site.done()["800"] == [f"raised {NOBODY}"]
    site.members.put("800", {"101": True})
    site.alerts.fail_at(2, error)
    assert site.done()["800"] == [f"failed: {error}", "told (resolved)"]
    assert site.active == [("800", NOBODY)]
    assert site.done()["800"] == ["resolved"]
    assert site.active == []


@pytest.mark.parametrize("failing", [1, 2, 3])
@pytest.mark.parametrize("error", [ApiUnreachable("silence"), ApiDenied("401")])
def test_an_outage_is_asked_once_however_many_groups_there_are(site: Site, error, failing) -> None:
    groups = [WatchedGroup(str(800 + n), "", ALWAYS) for n in range(10)]
    for group in groups:
        site.members.put(group.id, {})
    site.alerts.fail_at(failing, error)
    found = site.done(*groups)
    assert len(site.alerts.operations) == failing
    assert [found[group.id][0] for group in groups].count(f"raised {NOBODY}") == max(0, failing - 2)
    assert found["809"] == [f"failed: not asked again in this check: {error}", "told (raised)"]
    site.look(*groups)
    assert len(site.active) == len(site.alerts.raised) == 10


def test_a_failure_of_one_groups_alert_is_no_outage(site: Site) -> None:
    site.members.put("800", {})
    site.members.put("801", {})
    site.alerts.fail_at(2, ApiUnavailable("500"))
    assert site.done() == {"800": ["failed: 500", "told (raised)"], "801": [f"raised {NOBODY}", "told (raised)"]}


def test_a_webhook_that_fails_holds_nothing_up_and_is_not_asked_again(site: Site) -> None:
    site.members.put("800", {})
    site.members.put("801", {})
    site.notifier.fail_at(1, NoticeFailed("the slack webhook answered 404"))
    assert site.done() == {
        "800": [f"raised {NOBODY}", "not told: the slack webhook answered 404"],
        "801": [f"raised {NOBODY}", "told (raised)"],
    }
    assert site.active == [("800", NOBODY), ("801", NOBODY)]
    failed = site.events.only("notice.failed")
    assert (failed["group"], failed["reason"]) == ("800", "the slack webhook answered 404")
    assert site.done() == {"800": [], "801": []}


def test_without_webhooks_nobody_is_said_to_have_been_told(site: Site) -> None:
    site.notifier.webhooks = 0
    site.members.put("800", {})
    assert site.done(SALES) == {"800": [f"raised {NOBODY}"]}


def test_a_failing_storage_ends_the_check_before_anything_is_raised(site: Site) -> None:
    site.members.put("800", {})
    site.store.fail_at(3, StorageUnavailable("503"))  # lease, load, save
    with pytest.raises(StorageUnavailable):
        site.look(SALES)
    assert site.alerts.raised == []
    site.look(SALES)
    assert site.alerts.raised == [("800", NOBODY)]


# Groups that come and go


@pytest.mark.parametrize("operations", [(1, 2), (2,)], ids=["api-down", "resolve-fails"])
def test_its_record_stays_until_the_alert_is_gone(site: Site, operations) -> None:
    site.members.put("801", {})
    site.look()
    for operation in operations:
        site.alerts.fail_at(operation, ApiUnavailable("no answer"))
    site.look(SALES)
    assert (site.active, site.store.records.keys()) == ([("801", NOBODY)], {"800", "801"})
    site.look(SALES)
    assert (site.active, site.store.records.keys()) == ([], {"800"})


def test_its_record_stays_while_nobody_can_say_whether_it_has_an_alert(site: Site) -> None:
    """The answer to the raise was lost, so the record knows of none."""
    site.members.put("801", {})
    site.alerts.fail_at(2, ApiUnavailable("no answer"), answer_lost=True)
    site.look()
    site.alerts.fail_at(1, ApiUnavailable("no answer"))
    site.look(SALES)
    assert site.store.records.keys() == {"800", "801"}
    site.look(SALES)
    assert (site.active, site.store.records.keys()) == ([], {"800"})


def test_alerts_of_groups_that_were_never_monitored_are_nobodys_business(site: Site) -> None:
    site.alerts.call_logger.raise_alert({"callGroupId": "999", "alertType": NOBODY})
    site.look()
    assert site.active == [("999", NOBODY)]


def test_without_groups_a_check_has_nothing_to_report(site: Site) -> None:
    nobody = make_check(site.members, site.alerts, site.notifier, site.store, site.clock)
    assert check([], nobody) == GroupsOutcome("finished", ())
