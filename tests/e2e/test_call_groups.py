"""The life of alerts from members in a database to the stand-in Call Logger, through kills, outages and races."""

from __future__ import annotations

import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.functions.group_surroundings import (
    BreakableBackend,
    Members,
    Receiver,
    clear_groups,
    kept_records,
    with_groups,
)
from tests.functions.surroundings import RecordingCallLogger
from tests.support.waiting import wait_until

NOBODY = "NO_ASSIGNED_USERS"
FUNCTIONS = ("trigger_alerts", "status")


@pytest.fixture
def members(tmp_path):
    members = Members(tmp_path)
    members.put("800", e101=True)
    members.put("801", e102=True)
    return members


@pytest.fixture
def backend():
    backend = BreakableBackend()
    yield backend
    backend.go_on()


@pytest.fixture
def call_logger(backend):
    with RecordingCallLogger(backend) as running:
        yield running


@pytest.fixture
def start(start_host, storage, sqlite_system, members, backend):
    """Starts a host that checks groups when it is asked to."""
    clear_groups(storage)

    def start(more="", functions=FUNCTIONS):
        return start_host(
            sqlite_system, *functions, hasty=True, adapt=lambda config: with_groups(config, members, more)
        )

    yield start
    backend.go_on()


def check(host):
    return {group["id"]: group for group in host.trigger("alerts")["groups"]}


def check_until_killed(host):
    """Begin a check in the background, which will get no answer."""

    def ask():
        with pytest.raises(OSError):
            host.ask("POST", "/trigger/alerts")

    thread = threading.Thread(target=ask)
    thread.start()
    return thread


def test_an_alert_comes_within_one_check_and_goes_when_somebody_is_back(start, members, backend, storage):
    host = start()
    assert [group["state"] for group in check(host).values()] == ["ok", "ok"]
    members.put("801", e102=False)
    assert check(host)["801"]["done"] == [f"raised {NOBODY}"]
    assert backend.every_alert == [("801", NOBODY, True)]
    for _ in range(3):
        assert check(host)["801"]["done"] == []
    shown = {group["id"]: group for group in host.status()["monitored_groups"]}
    assert (shown["801"]["state"], shown["801"]["alert_id"]) == ("alerted", backend.alerts[0]["id"])
    members.put("801", e102=False, e103=True)
    assert check(host)["801"]["done"] == ["resolved"]
    assert backend.every_alert == [("801", NOBODY, False)]
    assert [event["group"] for event in host.events_of("alert.raised", "alert.resolved")] == ["801", "801"]
    assert host.remarks == []


def kill_at(backend, host, operation, when):
    """Kill a host at the moment before or after the Call Logger's work, and let the Call Logger go on."""
    backend.stop_at(operation, when)
    asking = check_until_killed(host)
    assert backend.reached.wait(30)
    host.kill()
    asking.join()


def test_killed_while_it_raises_an_alert_that_comes_when_another_host_has_checked(start, members, backend, storage):
    members.put("801")
    kill_at(backend, start(), "raise_alert", "before")
    held, backend.hold = backend.released, None
    other = start()
    check(other)
    held.set()
    check(other)
    assert backend.every_alert == [("801", NOBODY, True)]
    assert kept_records(storage)["801"]["alert"]["id"] == backend.alerts[0]["id"]
    members.put("801", e102=True)
    check(other)
    assert backend.every_alert == [("801", NOBODY, False)]


def test_killed_again_and_again_the_group_has_the_one_alert_or_none(start, members, backend):
    """Before and after each thing that the Call Logger does; the next host finds it done, and does no more."""
    host = start()
    for when in ("before", "after"):
        for operation, is_active in (("raise_alert", True), ("resolve_alert", False)):
            members.put("801", **({} if is_active else {"e102": True}))
            kill_at(backend, host, operation, when)
            backend.go_on()
            wait_until(lambda wanted=is_active: [active for *_, active in backend.every_alert][-1:] == [wanted])
            known = backend.every_alert
            host = start()
            assert check(host)["801"]["done"] == []
            assert backend.every_alert == known
    assert backend.every_alert == [("801", NOBODY, False)] * 2
    members.put("801")
    assert check(host)["801"]["done"] == [f"raised {NOBODY}"]  # nobody ended the last one by hand


def test_the_timer_does_the_same(start, members, backend):
    host = start(functions=("check_call_groups",))
    members.put("801")
    assert host.ask("POST", "/admin/functions/check_call_groups", json={}).status_code == 202
    wait_until(lambda: backend.every_alert)
    members.put("801", e102=True)
    wait_until(lambda: host.events_of("groups.checked"))
    host.ask("POST", "/admin/functions/check_call_groups", json={})
    wait_until(lambda: host.events_of("alert.resolved"))
    assert backend.every_alert == [("801", NOBODY, False)]


def test_through_an_outage_of_the_api(start, members, backend):
    host = start()
    check(host)
    members.put("801")
    backend.is_down = True
    for _ in range(3):
        found = check(host)["801"]
        assert (found["state"], len(found["done"])) == ("alerted", 1)
        assert found["done"][0].startswith("failed: ")
    assert backend.every_alert == []
    backend.is_down = False
    assert check(host)["801"]["done"] == [f"raised {NOBODY}"]
    members.put("801", e102=True)
    backend.is_down = True
    assert check(host)["801"]["done"][0].startswith("failed: ")
    backend.is_down = False
    assert check(host)["801"]["done"] == ["resolved"]
    assert backend.every_alert == [("801", NOBODY, False)]
    assert host.events_of("alert.failed")


def test_through_an_outage_of_the_members_database(start, members, backend):
    """Nothing is raised by a guess, and nothing resolved."""
    host = start()
    members.put("801")
    check(host)
    members.break_down()
    assert [(group["state"], group["done"]) for group in check(host).values()] == [("unknown", [])] * 2
    assert backend.every_alert == [("801", NOBODY, True)]
    members.mend()
    assert [(group["state"], group["done"]) for group in check(host).values()] == [("ok", []), ("alerted", [])]
    assert backend.every_alert == [("801", NOBODY, True)]


def test_two_instances_never_make_two_alerts_nor_leave_one_behind(start, members, backend, storage):
    with Receiver() as receiver:
        hosts = [start(f"  notify: [{{type: json, url: '{receiver.url}'}}]\n") for _ in range(2)]
        assert all(host.base_url for host in hosts)
        statuses: Counter[int] = Counter()
        with ThreadPoolExecutor(6) as pool:
            for round_ in range(8):
                members.put("800", e101=round_ % 2 == 1)
                members.put("801", e102=round_ % 2 == 1)
                answers = list(pool.map(lambda n: hosts[n % 2].ask("POST", "/trigger/alerts"), range(6)))
                statuses.update(answer.status_code for answer in answers)
                active = Counter(group for group, _, is_active in backend.every_alert if is_active)
                assert active == ({"800": 1, "801": 1} if round_ % 2 == 0 else {})
    assert statuses.keys() == {200, 409}
    assert Counter(group for group, _, _ in backend.every_alert) == {"800": 4, "801": 4}
    assert Counter(told["event"] for told in receiver.told) == {"raised": 8, "resolved": 8}
    assert {record["state"] for record in kept_records(storage).values()} == {"ok"}
