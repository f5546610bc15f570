"""A check of the call groups: what it sees, does, writes down, reports and logs."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest

from cdr.groups.alerts import AlertPolicy, AlertType, GroupRecord, GroupState, OpenAlert
from cdr.groups.check import LEASE, GroupsOutcome, Watch, WatchedGroup, check_groups, group_status
from cdr.groups.hours import Hours, Span
from shared.errors import (
    ApiDenied,
    ApiRejected,
    ApiUnavailable,
    NoticeFailed,
    SourceMisconfigured,
    SourceUnavailable,
    StorageUnavailable,
)
from tests.fakes.groups import InMemoryAlertApi, InMemoryGroupStore, InMemoryMemberSource, InMemoryNotifier

NOBODY, BLIND = AlertType.NO_ASSIGNED_USERS.value, AlertType.MEMBERSHIP_UNKNOWN.value
CHECK_INTERVAL = timedelta(minutes=5)
ALWAYS = Hours(ZoneInfo("UTC"), {day: [Span(time(), time(), overnight=True)] for day in range(7)})
UNTIL_1230 = Hours(ZoneInfo("UTC"), {6: [Span(time(), time(12, 30))]})
NEVER = Hours(ZoneInfo("UTC"), {})
SALES, SUPPORT = WatchedGroup("800", "Sales", ALWAYS), WatchedGroup("801", "Support", ALWAYS)


@pytest.fixture
def members():
    source = InMemoryMemberSource()
    source.put("800", {"101": True, "102": False})
    source.put("801", {"103": True})
    return source


@pytest.fixture
def alerts(clock):
    api = InMemoryAlertApi()
    api.call_logger.now = clock.now
    return api


@pytest.fixture
def notifier():
    return InMemoryNotifier()


@pytest.fixture
def store():
    return InMemoryGroupStore()


@pytest.fixture
def watch(members, alerts, notifier, store, clock):
    return Watch(members, alerts, notifier, store, clock, AlertPolicy())


@pytest.fixture
def check(watch, clock, events):
    """The next check, an interval after the last one."""

    def check(*groups: WatchedGroup, **changed) -> GroupsOutcome:
        clock.move(CHECK_INTERVAL)
        return check_groups(groups or (SALES, SUPPORT), replace(watch, **changed))

    return check


def active(alerts):
    return sorted(
        (found["callGroupId"], found["alertType"]) for found in alerts.call_logger.alerts if found["isActive"]
    )


def done(outcome):
    return {report.id: report.done for report in outcome.groups}


def told(notifier):
    return [(notice.group_id, notice.event, notice.alert_type) for notice in notifier.notices]


# From empty to staffed


def test_an_empty_group_has_one_alert_until_somebody_is_back(check, watch, members, alerts, events):
    members.put("801", {"103": False})
    first = check()
    assert first.result == "finished"
    sales, support = first.groups
    assert (sales.id, sales.name, sales.state, sales.members, sales.available) == ("800", "Sales", "ok", 2, 1)
    assert (support.state, support.members, support.available, support.problem) == ("alerted", 1, 0, None)
    assert done(first) == {"800": [], "801": [f"raised {NOBODY}", "told (raised)"]}
    assert active(alerts) == [("801", NOBODY)]
    (alert,) = alerts.call_logger.alerts
    assert alert["callGroupName"] == "Support"
    assert alert["alertMessage"] == "Call group 801 (Support) has no available user; it has 1 member."

    assert done(check()) == done(check()) == {"800": [], "801": []}
    assert watch.store.records["801"].alert.id == alert["id"]
    assert watch.store.records["801"].since == watch.clock.now() - 2 * CHECK_INTERVAL

    members.put("801", {"103": False, "104": True})
    assert done(check()) == {"800": [], "801": ["resolved", "told (resolved)"]}
    assert active(alerts) == []
    assert alerts.raised == [("801", NOBODY)]
    assert told(watch.notifier) == [("801", "raised", NOBODY), ("801", "resolved", NOBODY)]
    assert [name for name in events.names if name.startswith(("group.", "alert."))] == [
        "group.changed",  # 800: closed, as everything is that was never looked at, to ok
        "alert.raised",
        "group.changed",
        "alert.resolved",
        "group.changed",
    ]
    assert events.only("alert.raised") | {"alert_id": 0} == {
        "event": "alert.raised",
        "group": "801",
        "type": NOBODY,
        "alert_id": 0,
        "level": "WARNING",
    }
    assert events.named("group.changed")[-1] == {
        "event": "group.changed",
        "group": "801",
        "before": "alerted",
        "after": "ok",
        "members": 2,
        "available": 1,
        "level": "INFO",
    }
    assert [event["alerted"] for event in events.named("groups.checked")] == [1, 1, 1, 0]


def test_an_alert_ends_with_the_business_hours(check, members, alerts, clock):
    group = WatchedGroup("800", "Sales", UNTIL_1230)
    members.put("800", {})
    for minute in (5, 10, 15, 20, 25):
        assert check(group).groups[0].state == "alerted", minute
    assert (check(group).groups[0].state, active(alerts)) == ("closed", [])


def test_nobody_is_asked_outside_of_business_hours(check, members):
    outcome = check(WatchedGroup("800", "Sales", NEVER), WatchedGroup("801", "Support", NEVER))
    assert members.operations == []
    assert [(report.state, report.members, report.problem) for report in outcome.groups] == [
        ("closed", None, "outside of business hours")
    ] * 2


def test_only_groups_that_are_open_are_asked_for(check, members):
    asked = []
    observe = members.observe
    members.observe = lambda ids: asked.extend(ids) or observe(ids)
    check(SALES, WatchedGroup("801", "Support", NEVER))
    assert asked == ["800"]


def test_within_the_grace_there_is_no_alert(check, members, alerts):
    members.put("800", {})
    policy = AlertPolicy(grace=timedelta(minutes=10))
    states = [check(SALES, policy=policy).groups[0].state for _ in range(2)]
    assert (states, alerts.raised) == (["suspect", "suspect"], [])
    assert check(SALES, policy=policy).groups[0].state == "alerted"
    assert alerts.raised == [("800", NOBODY)]


def test_a_reminder_comes_once_in_a_while(check, members, notifier):
    members.put("800", {})
    policy = AlertPolicy(remind_after=timedelta(minutes=10))
    for _ in range(6):
        check(SALES, policy=policy)
    assert [event for _, event, _ in told(notifier)] == ["raised", "reminder", "reminder"]


# What cannot be seen


@pytest.mark.parametrize("error", [SourceUnavailable("no route to host"), SourceMisconfigured("no such table")])
def test_without_its_source_every_group_is_unknown_and_nothing_is_done(check, members, alerts, events, error):
    members.put("800", {})
    check()
    members.fail_at(1, error)
    outcome = check()
    assert [(report.state, report.members, report.available, report.problem) for report in outcome.groups] == [
        ("unknown", None, None, str(error))
    ] * 2
    assert done(outcome) == {"800": [], "801": []}
    assert active(alerts) == [("800", NOBODY)]  # neither resolved nor raised by a guess
    assert events.only("groups.unknown")["reason"] == str(error)
    assert events.named("group.changed")[-1]["reason"] == str(error)


def test_blindness_is_noticed_after_15_minutes_once_for_each_group(check, members, alerts, notifier):
    states = []
    for _ in range(6):
        members.fail_at(1, SourceUnavailable("no route to host"))
        check()
        states.append(active(alerts))
    assert states == [[]] * 3 + [[("800", BLIND), ("801", BLIND)]] * 3
    assert len(alerts.raised) == 2
    assert alerts.call_logger.alerts[0]["alertMessage"] == (
        "It is not known whether call group 801 (Support) has an available user: no route to host."
    )
    assert done(check()) == {"800": ["resolved", "told (resolved)"], "801": ["resolved", "told (resolved)"]}
    assert active(alerts) == []
    assert told(notifier)[-1] == ("801", "resolved", BLIND)


def test_blindness_that_ends_at_an_empty_group_makes_room_for_the_other_alert(check, members, alerts):
    for _ in range(4):
        members.fail_at(1, SourceUnavailable("no route to host"))
        check(SALES)
    members.put("800", {})
    assert done(check(SALES)) == {"800": ["resolved", f"raised {NOBODY}", "told (raised)"]}
    assert active(alerts) == [("800", NOBODY)]


def test_a_group_that_the_phone_system_does_not_know_is_named(check, members, alerts, events):
    del members.groups["801"]
    outcome = check()
    assert [report.problem for report in outcome.groups] == [None, "the group does not exist in the phone system"]
    assert outcome.groups[1].state == "unknown"
    changed = events.named("group.changed")[-1]
    assert (changed["group"], changed["reason"]) == ("801", "the group does not exist in the phone system")
    for _ in range(3):
        check()
    assert active(alerts) == [("801", BLIND)]
    assert alerts.call_logger.alerts[0]["alertMessage"].endswith("the group does not exist in the phone system.")


# One check at a time


def test_while_another_check_is_at_work_this_one_does_nothing(check, watch, members, alerts, events):
    members.put("800", {})
    watch.store.lease("another instance", watch.clock.now() + CHECK_INTERVAL, LEASE)
    assert check() == GroupsOutcome("held", [])
    assert (members.operations, alerts.operations, watch.store.records) == ([], [], {})
    assert events.only("groups.held")["reason"].startswith("another check is at work")
    assert check().result == "finished"  # that one has died, for all we know


def test_a_check_gives_its_lease_back_also_when_it_fails(check, store):
    check()
    assert store.owner is None
    store.fail_at(2, StorageUnavailable("503"))
    with pytest.raises(StorageUnavailable):
        check()
    assert store.owner is None


def test_a_long_check_stays_the_only_one(check, watch, clock, alerts, members):
    """With an API that takes a minute for everything, ten groups take ten minutes and more."""
    groups = [WatchedGroup(str(800 + n), "", ALWAYS) for n in range(10)]
    for group in groups:
        members.put(group.id, {})
    others = []
    raise_alert = alerts.raise_alert

    def slowly(*arguments):
        clock.move(timedelta(minutes=1))
        others.append(check_groups(groups, watch).result)
        return raise_alert(*arguments)

    alerts.raise_alert = slowly
    assert check(*groups).result == "finished"
    assert others == ["held"] * 10
    assert len(alerts.raised) == 10


def test_a_check_that_came_to_a_halt_does_not_go_on_with_what_it_once_loaded(check, watch, clock, members, alerts):
    """The machine slept while it asked for members; meanwhile another instance has checked, and everything changed."""
    members.put("800", {})
    observe = members.observe

    def asleep(ids):
        found = observe(ids)
        members.observe = observe
        members.put("800", {"101": True})
        clock.move(LEASE)
        assert check_groups([SALES], watch).result == "finished"
        return found

    members.observe = asleep
    assert check(SALES) == GroupsOutcome("held", [])
    assert alerts.raised == []


# Failures on the way


@pytest.mark.parametrize("error", [ApiUnavailable("no answer"), ApiDenied("401"), ApiRejected("400")])
def test_what_the_api_did_not_take_is_done_at_the_next_check(check, members, alerts, events, error):
    members.put("800", {})
    alerts.fail_at(2, error)
    assert done(check())["800"] == [f"failed: {error}", "told (raised)"]
    failed = events.only("alert.failed")
    assert (failed["group"], failed["reason"], failed["level"]) == ("800", str(error), "ERROR")
    assert done(check())["800"] == [f"raised {NOBODY}"]
    members.put("800", {"101": True})
    alerts.fail_at(2, error)
    assert done(check())["800"] == [f"failed: {error}", "told (resolved)"]
    assert active(alerts) == [("800", NOBODY)]
    assert done(check())["800"] == ["resolved"]
    assert active(alerts) == []


def test_through_a_whole_outage_of_the_api_there_is_one_alert(check, members, alerts, notifier):
    members.put("800", {})
    for _ in range(3):
        for operation in (1, 2):
            alerts.fail_at(operation, ApiUnavailable("no answer"))
        check(SALES)
    assert active(alerts) == []
    check(SALES)
    assert alerts.raised == [("800", NOBODY)]
    assert told(notifier) == [("800", "raised", NOBODY)]


def test_an_alert_whose_answer_was_lost_is_adopted(check, members, alerts, store, events):
    members.put("800", {})
    alerts.fail_at(2, ApiUnavailable("no answer"), answer_lost=True)
    check(SALES)
    assert store.records["800"].alert is None
    assert done(check(SALES)) == {"800": []}
    assert store.records["800"].alert.id == alerts.call_logger.alerts[0]["id"]
    assert alerts.raised == [("800", NOBODY)]


def test_an_alert_that_somebody_ended_by_hand_is_left_at_that_until_the_group_had_somebody(
    check, members, alerts, notifier
):
    members.put("800", {})
    check(SALES)
    alerts.call_logger.resolve_alert(alerts.call_logger.alerts[0]["id"])
    members.unknown["800"] = "no answer"
    check(SALES)
    del members.unknown["800"]
    for _ in range(3):
        assert done(check(SALES)) == {"800": []}
    members.put("800", {"101": True})
    check(SALES)
    members.put("800", {})
    check(SALES)
    assert len(alerts.raised) == 2


def test_a_webhook_that_fails_holds_nothing_up_and_is_not_asked_again(check, members, alerts, notifier, events):
    members.put("800", {})
    members.put("801", {})
    notifier.fail_at(1, NoticeFailed("the slack webhook answered 404"))
    outcome = check()
    assert done(outcome) == {
        "800": [f"raised {NOBODY}", "not told: the slack webhook answered 404"],
        "801": [f"raised {NOBODY}", "told (raised)"],
    }
    assert active(alerts) == [("800", NOBODY), ("801", NOBODY)]
    assert events.only("notice.failed") == {
        "event": "notice.failed",
        "group": "800",
        "reason": "the slack webhook answered 404",
        "level": "WARNING",
    }
    assert done(check()) == {"800": [], "801": []}


def test_without_webhooks_nobody_is_said_to_have_been_told(check, members, notifier):
    notifier.webhooks = 0
    members.put("800", {})
    assert done(check(SALES)) == {"800": [f"raised {NOBODY}"]}


def test_a_failing_storage_ends_the_check_before_anything_is_raised(check, members, store, alerts):
    members.put("800", {})
    store.fail_at(3, StorageUnavailable("503"))  # lease, load, save
    with pytest.raises(StorageUnavailable):
        check(SALES)
    assert alerts.raised == []
    check(SALES)
    assert alerts.raised == [("800", NOBODY)]


# Groups that come and go


def test_a_group_that_is_not_monitored_any_more_keeps_neither_alert_nor_record(check, members, alerts, store):
    members.put("801", {})
    check()
    outcome = check(SALES)
    assert [report.id for report in outcome.groups] == ["800"]
    assert active(alerts) == []
    assert store.records.keys() == {"800"}


@pytest.mark.parametrize("operations", [(1, 2), (2,)], ids=["api-down", "resolve-fails"])
def test_its_record_stays_until_the_alert_is_gone(check, members, alerts, store, operations):
    members.put("801", {})
    check()
    for operation in operations:
        alerts.fail_at(operation, ApiUnavailable("no answer"))
    check(SALES)
    assert (active(alerts), store.records.keys()) == ([("801", NOBODY)], {"800", "801"})
    check(SALES)
    assert (active(alerts), store.records.keys()) == ([], {"800"})


def test_its_record_stays_while_nobody_can_say_whether_it_has_an_alert(check, members, alerts, store):
    """The answer to the raise was lost, so the record knows of none."""
    members.put("801", {})
    alerts.fail_at(2, ApiUnavailable("no answer"), answer_lost=True)
    check()
    alerts.fail_at(1, ApiUnavailable("no answer"))
    check(SALES)
    assert store.records.keys() == {"800", "801"}
    check(SALES)
    assert (active(alerts), store.records.keys()) == ([], {"800"})


def test_alerts_of_groups_that_were_never_monitored_are_nobodys_business(check, alerts):
    alerts.call_logger.raise_alert({"callGroupId": "999", "alertType": NOBODY})
    check()
    assert active(alerts) == [("999", NOBODY)]


def test_without_groups_a_check_has_nothing_to_report(check, watch, clock):
    assert check_groups([], watch) == GroupsOutcome("finished", [])


# For status


def test_the_status_of_a_group():
    moment = datetime(2026, 11, 22, 12, 0, 0, 5, tzinfo=UTC)
    alert = OpenAlert("a1", AlertType.NO_ASSIGNED_USERS, moment)
    record = GroupRecord(state=GroupState.ALERTED, since=moment, alert=alert, members=2, available=0, checked_at=moment)
    assert group_status(record) == {
        "state": "alerted",
        "since": "2026-11-22T12:00:00+00:00",
        "members": 2,
        "available": 0,
        "alert_id": "a1",
        "last_check": "2026-11-22T12:00:00+00:00",
    }
    assert group_status(None) == {"state": "not checked yet"}
