"""What is found behind each connection, and what to do about it."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from cdr.intake.ports import SourceFacts, StoredPosition
from cdr.operations.check_setup import Setup, Storage, Tried, check_setup, mistakes_found
from shared.errors import (
    ApiDenied,
    ApiUnreachable,
    PipelineError,
    SourceMisconfigured,
    SourceUnavailable,
    StorageUnavailable,
)
from tests.fakes.call_api import InMemoryCallApi
from tests.fakes.call_queue import InMemoryCallQueue
from tests.fakes.clock import HandMovedClock
from tests.fakes.directory import InMemoryDirectory
from tests.fakes.groups import InMemoryAlertApi, InMemoryMemberSource
from tests.fakes.positions import InMemoryPositionStore
from tests.fakes.row_table import InMemoryCallLog, InMemoryRowTable
from tests.support.factories import ALICE, OUTSIDE, make_message, make_raw_row
from tests.support.workshop import NOON

MINUTE = timedelta(minutes=1)


class Site:
    """Everything that is tried."""

    def __init__(self, clock: HandMovedClock) -> None:
        self.table = InMemoryRowTable([make_raw_row(ended_at=NOON - 3 * MINUTE)])
        self.source = InMemoryCallLog(self.table, clock)
        self.queue, self.positions = InMemoryCallQueue(clock), InMemoryPositionStore()
        self.api, self.alerts = InMemoryCallApi(), InMemoryAlertApi()
        self.members = InMemoryMemberSource()
        self.members.put("800", {"101": True, "102": False})
        self.directory = InMemoryDirectory({"101": ALICE, "102": "bob@example.com"})
        self.setup = Setup(
            source=self.source,
            timezone="UTC",
            storage=Storage(self.queue, self.positions),
            api=self.api,
            alerts=self.alerts,
            members=self.members,
            groups={"800": "Sales"},
            directory=self.directory,
            mapped=12,
            webhooks=["teams", "json"],
            clock=clock,
        )

    def found(self, part: str, **changed: Any) -> Tried:
        (only,) = (tried for tried in check_setup(replace(self.setup, **changed)) if tried.part == part)
        return only


@pytest.fixture
def site(clock: HandMovedClock) -> Site:
    return Site(clock)


def test_where_everything_is_right_each_part_says_what_was_found_there(site: Site) -> None:
    site.queue.send_all([make_message()])
    findings = list(check_setup(site.setup))
    assert [(tried.part, tried.result, tried.found) for tried in findings] == [
        (
            "phone system",
            "fine",
            [
                "source calllog: a table in memory",
                "tables that the login can read: CallLog",
                "its clock is 0.0 s behind",
                "newest call: over since 2026-11-22 11:57:00 UTC, 3 minutes ago",
            ],
        ),
        ("storage", "fine", ["messages on the queue: 1", "nothing was polled yet"]),
        ("Call Logger", "fine", ["it answers, and is healthy"]),
        ("extensions", "fine", ["in extension_mapping: 12", "from REST API of pbx: 2"]),
        ("call groups", "fine", ["800 Sales: members 2, available 1"]),
        ("alerts", "fine", ["of ours at the Call Logger: 0"]),
        ("webhooks", "not tried", ["addresses that make sense: teams, json"]),
    ]
    assert not any(tried.advice for tried in findings)


def test_what_is_not_configured_is_not_tried(site: Site) -> None:
    bare = replace(site.setup, storage=None, storage_untried="the emulator", alerts=None, members=None, webhooks=[])
    found = {tried.part: (tried.result, tried.found) for tried in check_setup(replace(bare, directory=None))}
    assert found["storage"] == ("not tried", ["the emulator"])
    assert found["call groups"][0] == "not tried"
    assert found["extensions"] == ("fine", ["in extension_mapping: 12"])
    assert found.keys() == {"phone system", "storage", "Call Logger", "extensions", "call groups"}
    assert "call groups" not in {tried.part for tried in check_setup(replace(bare, groups={}))}


BROKEN: dict[str, tuple[str, PipelineError, str, str]] = {
    "no phone system": ("table", SourceUnavailable("no answer"), "phone system", "is it running, and does a firewall"),
    "its login": ("table", SourceMisconfigured("check 3cx.cdr_database.password"), "phone system", ""),
    "no queue": ("queue", StorageUnavailable("queue: 403"), "storage", "is the account there"),
    "no table": ("positions", StorageUnavailable("table: 403"), "storage", "is the account there"),
    "no API": ("api", ApiUnreachable("no route"), "Call Logger", "check api.base_url"),
    "its credentials": ("api", ApiDenied("the API answered 401"), "Call Logger", "check api.auth"),
    "no addresses": ("directory", SourceUnavailable("503"), "extensions", "is it running"),
    "no members": ("members", SourceUnavailable("503"), "call groups", "is it running"),
    "no alerts": ("alerts", ApiUnreachable("no route"), "alerts", "check api.base_url"),
}


@pytest.mark.parametrize(("part", "error", "named", "advice"), BROKEN.values(), ids=BROKEN)
def test_a_part_that_fails_says_how_and_what_to_do_and_keeps_no_other_from_being_tried(
    site: Site, part: str, error: PipelineError, named: str, advice: str
) -> None:
    before = {tried.part: tried for tried in check_setup(site.setup)}
    getattr(site, part).fail_at(1, error)
    after = {tried.part: tried for tried in check_setup(site.setup)}
    assert {name for name in after if after[name] != before[name]} == {named}
    assert (after[named].result, after[named].found[-1]) == ("wrong", str(error))
    assert [words[: len(advice)] for words in after[named].advice] == ([advice] if advice else [])


def test_numbers_in_the_words_of_others_are_masked(site: Site) -> None:
    site.table.fail_at(1, SourceMisconfigured(f"3cx.schema: the column id holds {OUTSIDE}"))
    assert site.found("phone system").found[-1].endswith("***42")


# The phone system


@pytest.mark.parametrize(
    ("row", "words", "advice"),
    [
        (None, "no call that is over", "is it the right database"),
        ({"ended_at": NOON - timedelta(days=40)}, "40 days ago", "is it the right database, and if it is a replica"),
        ({"ended_at": NOON + timedelta(hours=1)}, "60 minutes from now", "3cx.cdr_database.timezone must be"),
        ({"ended_at": NOON + 10 * timedelta(seconds=1)}, "10 seconds from now", ""),
        ({"ended_at": NOON - timedelta(hours=30)}, "30 hours ago", ""),
    ],
    ids=["none", "an old one", "one that lies ahead", "a clock a little ahead", "a day without calls"],
)
def test_the_newest_call_tells_whether_it_is_the_right_table_and_time_zone(
    site: Site, row: dict[str, Any] | None, words: str, advice: str
) -> None:
    site.table.rows.clear()
    if row:
        site.table.put(make_raw_row(started_at=None, **row))
    found = site.found("phone system")
    assert found.result == ("look" if advice else "fine")
    assert found.found[-1].endswith(words)
    assert [advice in given for given in found.advice] == ([True] if advice else [])


def test_a_call_whose_end_makes_no_sense_is_the_selects_fault(site: Site) -> None:
    site.table.put(make_raw_row(ended_at="yesterday"))
    found = site.found("phone system")
    assert (found.result, "ended_at: holds 'yesterday'" in found.found[-1]) == ("wrong", True)


FACTS = SourceFacts("PostgreSQL 16.3", {"calllog": "CallLog"}, NOON)


@pytest.mark.parametrize(
    ("facts", "shown", "advice"),
    [
        ({"now": NOON + 5 * MINUTE}, "its clock is 300.0 s ahead", "set the clock"),
        ({"now": NOON - MINUTE}, "its clock is 60.0 s behind", ""),
        ({"now": None, "tables": {}}, "source calllog: PostgreSQL 16.3", ""),
        (
            {"tables": {"v20": "cdroutput", "calllog": "CallLog"}},
            "tables that the login can read: cdroutput, CallLog",
            "there is cdroutput: set 3cx.source to v20",
        ),
    ],
    ids=["a wrong clock", "a clock that is right", "nothing to tell", "newer tables"],
)
def test_clock_and_tables_are_shown_with_what_to_do_about_them(
    site: Site, facts: dict[str, Any], shown: str, advice: str
) -> None:
    site.source.facts = replace(FACTS, **facts)
    found = site.found("phone system")
    assert shown in found.found
    assert [given.startswith(advice) for given in found.advice] == ([True] if advice else [])


def test_where_the_table_is_not_there_the_one_that_is_says_which_source_to_choose(site: Site) -> None:
    site.source.facts = replace(FACTS, tables={"v20": "cdroutput"})
    site.table.fail_at(1, SourceMisconfigured("check 3cx.schema: no such table CallLog"))
    found = site.found("phone system")
    assert (found.result, found.found[-1]) == ("wrong", "check 3cx.schema: no such table CallLog")
    assert "set 3cx.source to v20" in found.advice[0]


# What is around it


def test_a_position_of_another_source_is_wrong(site: Site) -> None:
    site.positions.stored = StoredPosition("v20", "{}")
    found = site.found("storage")
    assert (found.result, found.advice) == ("wrong", ["set 3cx.source back to v20, or start over"])
    site.positions.stored = StoredPosition("calllog", "{}")
    assert site.found("storage") == Tried("storage", "fine", ["messages on the queue: 0", "polled before"])


@pytest.mark.parametrize(
    ("listed", "last", "advice"),
    [
        ({"101": ALICE, "103": None}, "extension 103 has no e-mail address in the phone system", "mend them"),
        ({"101": ALICE, **{f"2{n:02}": None for n in range(9)}}, "and 4 more", "mend them"),
        ({}, "from REST API of pbx: 0", "what may the login"),
    ],
    ids=["one without", "many without", "nobody"],
)
def test_what_is_wrong_with_extensions_is_named(
    site: Site, listed: dict[str, str | None], last: str, advice: str
) -> None:
    site.directory.listed = listed
    found = site.found("extensions")
    assert (found.result, found.found[-1], found.advice[0].startswith(advice)) == ("look", last, True)


def test_without_any_address_somebody_should_look(site: Site) -> None:
    found = site.found("extensions", directory=None, mapped=0)
    assert (found.result, found.advice[0].startswith("map them, or set extension_mapping_from")) == ("look", True)


def test_a_group_that_does_not_exist_is_named(site: Site) -> None:
    found = site.found("call groups", groups={"800": "Sales", "801": ""})
    assert (found.result, found.found[1]) == ("look", "801: the group does not exist in the phone system")
    assert found.advice == ["check the numbers in call_groups.monitored_groups: 801"]


def test_a_group_of_which_nobody_knows_who_is_available_says_so(site: Site) -> None:
    site.members.put("800", {"101": None})
    assert site.found("call groups").found == ["800 Sales: members 1, available unknown"]


def test_groups_that_are_never_open_and_webhooks_that_are_never_told_are_named(site: Site) -> None:
    found = site.found("call groups", always_closed=["800"])
    assert found.result == "look"
    assert found.advice == ["give them hours in business_hours; without any they are never alerted: 800"]
    assert site.found("webhooks", alerts=None, members=None).result == "look"


def test_mistakes_of_the_configuration_are_a_finding_of_their_own() -> None:
    assert mistakes_found([]) == Tried("configuration", "fine", ["no mistakes"])
    found = mistakes_found(["api.base_url: missing"])
    assert (found.result, found.found, len(found.advice)) == ("wrong", ["api.base_url: missing"], 1)


def test_a_source_that_has_to_be_looked_for_in_vain_is_one_part_that_is_wrong(site: Site) -> None:
    class Lost:
        @property
        def name(self) -> str:
            raise SourceMisconfigured("3cx.source auto: the login sees none of the tables")

        def about(self) -> SourceFacts:
            raise SourceMisconfigured("3cx.source auto: the login sees none of the tables")

    site.positions.stored = StoredPosition("v20", "{}")
    findings = check_setup(replace(site.setup, source=Lost()))
    assert [tried.part for tried in findings if tried.result == "wrong"] == ["phone system"]
