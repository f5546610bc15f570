"""What a MemberSource over 3CX's REST API makes of answers that leave something open."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from cdr.edges.xapi.members import XapiMemberSource
from cdr.groups.alerts import Member
from shared.errors import SourceUnavailable
from tests.fakes.clock import HandMovedClock
from tests.systems import xapi
from tests.systems.switchboards import Extension, Group, XapiSwitchboard, failure_of, xapi_source
from tests.systems.xapi import Fault, Xapi

BOTH = (Member("101", available=True), Member("102", available=True))


@pytest.fixture
def server(clock: HandMovedClock) -> Iterator[Xapi]:
    with xapi.start(clock) as running:
        groups = [Group("800", ("101", "102")), Group("900", ("101",), "ring group")]
        XapiSwitchboard(running).set_up([Extension("101"), Extension("102")], groups)
        yield running


@pytest.fixture
def source(server: Xapi) -> XapiMemberSource:
    return xapi_source(server)


def members_of(source: XapiMemberSource, group: str = "800") -> tuple[Member, ...] | None:
    members = source.observe([group])[group].members
    return None if members is None else tuple(members)


def test_only_what_is_needed_is_asked_for(server: Xapi, source: XapiMemberSource) -> None:
    source.observe(["800"])
    assert [path.partition("?")[0] for path in server.asked] == ["Queues", "Users", "Queues(40)/Agents"]
    assert "select=Id,Number,Enabled,QueueStatus" in server.asked[1].replace("%2C", ",")


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


def test_a_failure_in_the_last_list_leaves_no_half_picture(server: Xapi, source: XapiMemberSource) -> None:
    server.fail_next("data", Fault(), Fault(), Fault(500))
    failure_of(lambda: source.observe(["800"]), SourceUnavailable)
    assert len(server.asked) == 3
