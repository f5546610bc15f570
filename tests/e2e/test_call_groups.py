"""The life of alerts from members in a database to the stand-in Call Logger, through kills, outages and races."""

from __future__ import annotations

import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest

from shared.log import EVENTS
from tests.e2e.host_process import HostProcess, wait_until
from tests.functions.group_surroundings import Backend, Members, Receiver, clear_groups, kept_records, with_groups
from tests.functions.surroundings import SECRETS, write_config

NOBODY = "NO_ASSIGNED_USERS"
FUNCTIONS = ("trigger_alerts", "status")


@pytest.fixture
def members(tmp_path):
    members = Members(tmp_path)
    members.put("800", e101=True)
    members.put("801", e102=True)
    return members


@pytest.fixture
def backend(call_logger):
    backend = Backend.behind(call_logger)
    yield backend
    backend.go_on()


@pytest.fixture
def start(storage, call_logger, sqlite_system, members, backend):
    """Starts a host that checks groups when it is asked to."""
    clear_groups(storage)
    hosts = []

    def start(more: str = "", functions: tuple[str, ...] = FUNCTIONS) -> HostProcess:
        file = write_config(members.file.with_name("config.yml"), sqlite_system.settings(), call_logger.base_url)
        file.write_text(with_groups(file.read_text(), members, more))
        environment = {"CONFIG_FILE": str(file), "AzureWebJobsStorage": storage.connection_string}
        hosts.append(HostProcess(environment, *functions, hasty=True))
        return hosts[-1]

    yield start
    backend.go_on()
    statuses = [host.end() for host in hosts if host.is_running]
    assert statuses == [0] * len(statuses)
    for host in hosts:
        assert {event["event"] for event in host.events} <= EVENTS.keys()
        assert "Traceback" not in host.output
        assert not [told for told in (*SECRETS, "webhook-s3cret") if told in host.output]


def check(host):
    """A check now, after the one that is at work or has died at work."""
    answer = wait_until(lambda: (found := host.ask("POST", "/trigger/alerts")).status_code != 409 and found)
    assert answer.status_code == 200, answer.text
    return {group["id"]: group for group in answer.json()["groups"]}


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
    shown = {group["id"]: group for group in host.ask("GET", "/status").json()["monitored_groups"]}
    assert (shown["801"]["state"], shown["801"]["alert_id"]) == ("alerted", backend.alerts[0]["id"])
    members.put("801", e102=False, e103=True)
    assert check(host)["801"]["done"] == ["resolved"]
    assert backend.every_alert == [("801", NOBODY, False)]
    assert [event["group"] for event in host.events_of("alert.raised", "alert.resolved")] == ["801", "801"]
    assert host.remarks == []


@pytest.mark.parametrize("moment", ["before work", "before work that is done late", "after work"])
def test_killed_while_it_raises_an_alert(start, members, backend, storage, moment):
    """Late: the Call Logger gets round to what the dead host wanted when another one has checked."""
    host = start()
    when, late = moment.split()[0], moment.endswith("late")
    members.put("801")
    backend.stop_at("raise_alert", when)
    asking = check_until_killed(host)
    assert backend.reached.wait(30)
    host.kill()
    asking.join()
    held, backend.hold = backend.released, None
    if not late:
        held.set()
        wait_until(lambda: backend.every_alert)
    other = start()
    check(other)
    held.set()
    check(other)
    assert backend.every_alert == [("801", NOBODY, True)]
    assert kept_records(storage)["801"]["alert"]["id"] == backend.alerts[0]["id"]
    members.put("801", e102=True)
    check(other)
    assert backend.every_alert == [("801", NOBODY, False)]


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


@pytest.mark.parametrize("when", ["before", "after"])
def test_killed_while_it_resolves_an_alert(start, members, backend, storage, when):
    host = start()
    members.put("801")
    check(host)
    members.put("801", e102=True)
    backend.stop_at("resolve_alert", when)
    asking = check_until_killed(host)
    assert backend.reached.wait(30)
    host.kill()
    asking.join()
    backend.go_on()
    wait_until(lambda: backend.every_alert == [("801", NOBODY, False)])
    other = start()
    assert check(other)["801"]["done"] == []
    members.put("801")
    assert check(other)["801"]["done"] == [f"raised {NOBODY}"]  # nobody ended the last one by hand
    assert backend.every_alert == [("801", NOBODY, False), ("801", NOBODY, True)]


def test_killed_again_and_again_at_any_moment(start, members, backend):
    """However a check was cut short, in the end the group has the one alert, or none."""
    for round_, is_staffed in enumerate((False, True, False, True)):
        host = start()
        assert host.base_url
        members.put("801", e102=is_staffed)
        asking = threading.Thread(target=_ask_in_vain, args=(host,))
        asking.start()
        threading.Event().wait(0.05 * (round_ + 1))
        host.kill()
        asking.join()
    last = start()
    check(last)
    assert Counter(backend.every_alert)["801", NOBODY, True] == 0
    members.put("801")
    check(last)
    assert Counter(backend.every_alert)["801", NOBODY, True] == 1
    assert len(backend.every_alert) <= 3


def _ask_in_vain(host):
    try:
        host.ask("POST", "/trigger/alerts")
    except OSError:
        return


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
