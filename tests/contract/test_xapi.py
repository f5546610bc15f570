"""What the REST API of 3CX asks of its clients: one token at a time, pages, keys that may be missing, and patience."""

from __future__ import annotations

import socket
import threading
import traceback
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from cdr.edges.xapi.members import XapiMemberSource
from cdr.groups.alerts import Member
from shared.clock import HandMovedClock
from shared.errors import SourceMisconfigured, SourceUnavailable
from tests.systems import xapi
from tests.systems.switchboards import Extension, Group, XapiSwitchboard, xapi_source, xapi_user
from tests.systems.xapi import Fault, Xapi


@pytest.fixture
def server(clock: HandMovedClock) -> Iterator[Xapi]:
    with xapi.start(clock) as running:
        people = [Extension("101"), Extension("102")]
        XapiSwitchboard(running).set_up(people, [Group("800", ("101", "102")), Group("900", ("101",), "ring group")])
        yield running


@pytest.fixture
def source(server: Xapi) -> XapiMemberSource:
    return xapi_source(server)


def members_of(source: XapiMemberSource, group: str = "800") -> tuple[Member, ...] | None:
    members = source.observe([group])[group].members
    return None if members is None else tuple(members)


BOTH = (Member("101", available=True), Member("102", available=True))


def failure_of(source: XapiMemberSource, kind: type[Exception]) -> str:
    """The message of the one error: a line that names the settings, without the secret or a token anywhere."""
    with pytest.raises((SourceMisconfigured, SourceUnavailable)) as caught:
        source.observe(["800"])
    assert type(caught.value) is kind
    shown = "".join(traceback.format_exception(caught.value))
    assert xapi.CLIENT_SECRET not in shown
    assert "token-" not in shown
    assert "\n" not in str(caught.value)
    assert "call_groups.members" in str(caught.value)
    return str(caught.value)


# The token


def test_one_token_serves_all_requests_of_a_check_and_the_next_checks_within_its_life(
    server: Xapi, source: XapiMemberSource, clock: HandMovedClock
) -> None:
    for _ in range(4):
        assert members_of(source) == BOTH
        clock.move(timedelta(seconds=12))
    assert server.token_requests == 1
    assert len(server.asked) == 4 * 3


def test_a_token_is_renewed_before_it_ends(server: Xapi, source: XapiMemberSource, clock: HandMovedClock) -> None:
    for age in range(0, 300, 59):
        members_of(source)
        clock.move(timedelta(seconds=59))
        assert server.token_requests == age // 59 + 1
    assert 401 not in server.answers


def test_a_token_that_ends_in_the_middle_of_a_check_is_renewed_within_it(
    server: Xapi, source: XapiMemberSource, clock: HandMovedClock
) -> None:
    clock_moved = iter([True])
    real_page = server.page

    def slow_page(*arguments: Any) -> Any:
        if next(clock_moved, None):
            clock.move(timedelta(seconds=55))
        return real_page(*arguments)

    server.page = slow_page
    assert members_of(source) == BOTH
    assert server.token_requests == 2


def test_a_token_that_another_tool_ended_is_replaced_once(server: Xapi, source: XapiMemberSource) -> None:
    members_of(source)
    server.end_token()
    assert members_of(source) == BOTH
    assert server.token_requests == 2


def test_an_answer_of_401_is_followed_by_one_new_token_and_one_more_try(server: Xapi, source: XapiMemberSource) -> None:
    server.fail_next("data", Fault(401))
    assert members_of(source) == BOTH
    assert server.token_requests == 2
    assert server.asked[0] == server.asked[1]


def test_a_second_401_calls_for_a_person(server: Xapi, source: XapiMemberSource) -> None:
    server.fail_next("data", Fault(401), Fault(401))
    assert "client_id" in failure_of(source, SourceMisconfigured)
    assert (server.token_requests, len(server.asked)) == (2, 2)


@pytest.mark.parametrize("expires_in", [5, 0, None, "60"])
def test_a_token_with_hardly_any_life_or_without_one_is_used_at_once_and_not_kept(
    server: Xapi, source: XapiMemberSource, expires_in: Any
) -> None:
    server.expires_in = expires_in
    assert members_of(source) == BOTH
    assert server.token_requests == 3


def test_threads_never_ask_for_two_tokens_at_once(server: Xapi, source: XapiMemberSource) -> None:
    start = threading.Barrier(4)

    def ask(_: int) -> Any:
        start.wait(10)
        return members_of(source)

    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(ask, range(4)))
    assert found == [BOTH] * 4
    assert server.token_requests == 1
    assert server.most_at_once == 1
    assert 401 not in server.answers


# Credentials and rights


@pytest.mark.parametrize("wrong", [{"client_id": "nobody"}, {"client_secret": "hunter2"}])
def test_wrong_credentials_name_their_settings(server: Xapi, wrong: dict[str, str]) -> None:
    message = failure_of(xapi_source(server, **wrong), SourceMisconfigured)
    assert "call_groups.members.client_id and client_secret" in message
    assert "hunter2" not in message


def test_a_role_that_may_not_read_names_the_client(server: Xapi, source: XapiMemberSource) -> None:
    server.fail_next("data", Fault(403))
    message = failure_of(source, SourceMisconfigured)
    assert "client_id" in message
    assert "role" in message


def test_no_password_of_a_netrc_file_takes_the_place_of_the_token(
    server: Xapi, source: XapiMemberSource, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login somebody password else\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    assert members_of(source) == BOTH


# Pages


def test_more_than_a_page_of_agents_users_and_groups_is_read_to_its_end(server: Xapi) -> None:
    people = [Extension(str(number)) for number in range(1000, 1250)]
    others = [Group(str(number)) for number in range(200, 310)]
    everybody = tuple(person.number for person in people)
    XapiSwitchboard(server).set_up(people, [*others, Group("800", everybody)])
    assert members_of(xapi_source(server)) == tuple(Member(number, available=True) for number in everybody)
    pages = [path for path in server.asked if path.startswith("Users")]
    assert [path.partition("skip=")[2].partition("&")[0] for path in pages] == ["0", "100", "200"]


def test_a_list_that_ends_with_a_full_page_has_nothing_after_it(server: Xapi) -> None:
    people = [Extension(str(number)) for number in range(1000, 1100)]
    XapiSwitchboard(server).set_up(people, [Group("800", tuple(person.number for person in people))])
    assert len(members_of(xapi_source(server)) or ()) == 100


def test_pages_that_the_server_makes_shorter_than_asked_for_are_followed(
    server: Xapi, source: XapiMemberSource
) -> None:
    people = [Extension(str(number)) for number in range(1000, 1050)]
    XapiSwitchboard(server).set_up(people, [Group("800", tuple(person.number for person in people))])
    server.most_items = 20
    members = members_of(source) or ()
    assert len(members) == 50
    assert all(member.available for member in members)


def test_a_list_without_end_is_given_up(
    server: Xapi, source: XapiMemberSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cdr.edges.xapi.members.MOST_PAGES", 3)
    server.users = [xapi_user(number, Extension(str(number))) for number in range(1000, 1400)]
    failure_of(source, SourceUnavailable)


def test_only_what_is_needed_is_asked_for(server: Xapi, source: XapiMemberSource) -> None:
    source.observe(["800"])
    assert [path.partition("?")[0] for path in server.asked] == ["Queues", "Users", "Queues(40)/Agents"]
    assert "select=Id,Number,Enabled,QueueStatus" in server.asked[1].replace("%2C", ",")


# What an answer leaves open


def change_user(server: Xapi, **changes: Any) -> None:
    """Extension 102 is the only member of queue 800, and this is different about it."""
    server.users = [user | (changes if user["Number"] == "102" else {}) for user in server.users]
    server.agents[40] = [agent for agent in server.agents[40] if agent["Number"] == "102"]


@pytest.mark.parametrize(
    ("changes", "available"),
    [
        ({"QueueStatus": None}, None),
        ({"QueueStatus": "Busy"}, None),
        ({"Enabled": None}, None),
        ({"Enabled": None, "QueueStatus": None}, None),
        ({"Enabled": False, "QueueStatus": None}, False),
        ({"QueueStatus": "LoggedOut"}, False),
        ({"Number": "999"}, None),
        ({}, True),
    ],
    ids=str,
)
def test_what_is_not_said_of_a_user_is_not_guessed(
    server: Xapi,
    source: XapiMemberSource,
    changes: dict[str, Any],
    available: bool | None,  # noqa: FBT001
) -> None:
    change_user(server, **changes)
    assert members_of(source) == (Member("102", available),)
    assert source.observe(["800"])["800"].available == {True: 1, False: 0, None: None}[available]


def test_a_ring_group_does_not_care_for_a_missing_queue_status(server: Xapi, source: XapiMemberSource) -> None:
    server.users = [user | {"QueueStatus": None} for user in server.users]
    assert members_of(source, "900") == (Member("101", available=True),)


def test_a_member_without_a_number_is_one_of_whom_nothing_is_known(server: Xapi, source: XapiMemberSource) -> None:
    server.agents[40] = [{"Id": 1, "Name": "Ghost", "Number": None}]
    assert source.observe(["800"])["800"].available is None


def test_a_group_without_a_number_or_an_id_is_none_that_could_be_meant(server: Xapi, source: XapiMemberSource) -> None:
    server.queues = [{"Id": 7, "Number": None}, {"Id": None, "Number": "800"}]
    assert members_of(source) is None


def test_a_number_that_a_queue_and_a_ring_group_share_means_the_queue(server: Xapi, source: XapiMemberSource) -> None:
    server.ring_groups = [{"Id": 41, "Number": "800"}]
    assert members_of(source) == BOTH


# Failures


@pytest.mark.parametrize(
    "fault",
    [
        Fault(500),
        Fault(502),
        Fault(503),
        Fault(504),
        Fault(429),
        Fault(404),
        Fault(302),
        Fault(body="<html>login</html>"),
    ],
    ids=lambda fault: fault.body or fault.status,
)
@pytest.mark.parametrize("place", ["token", "data"])
def test_what_may_pass_is_unavailable_and_over_with_the_next_check(
    server: Xapi, source: XapiMemberSource, place: Any, fault: Fault
) -> None:
    server.fail_next(place, fault)
    failure_of(source, SourceUnavailable)
    assert members_of(source) == BOTH


@pytest.mark.parametrize(
    "body", ["[]", "{}", "null", '{"value": null}', '{"value": [1]}', '{"value": {"a": 1}}', '"x"']
)
def test_an_answer_that_is_no_list_is_no_empty_list(server: Xapi, source: XapiMemberSource, body: str) -> None:
    server.fail_next("data", Fault(body=body))
    failure_of(source, SourceUnavailable)


@pytest.mark.parametrize("body", ["[]", "{}", '{"access_token": null}', '{"access_token": ""}'])
def test_an_answer_without_a_token_is_unavailable(server: Xapi, source: XapiMemberSource, body: str) -> None:
    server.fail_next("token", Fault(body=body))
    failure_of(source, SourceUnavailable)


def test_a_failure_in_the_last_list_leaves_no_half_picture(server: Xapi, source: XapiMemberSource) -> None:
    server.fail_next("data", Fault(), Fault(), Fault(500))
    failure_of(source, SourceUnavailable)
    assert len(server.asked) == 3


@pytest.mark.parametrize("place", ["token", "data"])
def test_a_slow_answer_is_not_waited_for(server: Xapi, place: Any) -> None:
    source = xapi_source(server, timeout=timedelta(seconds=0.2))
    server.fail_next(place, Fault(delay_s=1.0))
    assert "timed out" in failure_of(source, SourceUnavailable)


def test_a_phone_system_that_is_down_is_unavailable(server: Xapi) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        source = xapi_source(server, url=f"http://127.0.0.1:{nobody.getsockname()[1]}")
        assert "call_groups.members.url" in failure_of(source, SourceUnavailable)


def test_a_certificate_is_checked_against_the_configured_file(clock: HandMovedClock, tmp_path: Path) -> None:
    file = tmp_path / "certificate.pem"
    with xapi.start(clock, certificate=file) as server:
        XapiSwitchboard(server).set_up([Extension("101"), Extension("102")], [Group("800", ("101", "102"))])
        assert "self-signed certificate" in failure_of(xapi_source(server), SourceUnavailable)
        assert members_of(xapi_source(server, ca_file=str(file))) == BOTH
