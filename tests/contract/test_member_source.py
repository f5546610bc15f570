"""What every MemberSource does: the twin, the configuration's lists, SQL on three databases, and 3CX's REST API."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from cdr.edges.sql.members import SqlMemberSource, read_members
from cdr.groups.alerts import Member, Observation
from cdr.groups.ports import MemberSource
from shared.config.groups import MemberDatabase
from shared.errors import PipelineError, SourceMisconfigured, SourceUnavailable
from tests.fakes.clock import HandMovedClock
from tests.systems import xapi
from tests.systems.switchboards import (
    OWN_SELECT,
    THREE_CX_V20,
    Extension,
    Group,
    MariaDbSwitchboard,
    PostgreSqlSwitchboard,
    RosterSwitchboard,
    SqliteSwitchboard,
    StaticSwitchboard,
    Switchboard,
    TwinSwitchboard,
    XapiSwitchboard,
)

SWITCHBOARDS = ["twin", "static", "postgresql", "postgresql-integers", "sqlite", "mariadb", "xapi"]
SQL_SWITCHBOARDS = ["postgresql", "sqlite", "mariadb"]
SECRET = "hunter2-is-the-password"


@pytest.fixture
def make_switchboard(
    request: pytest.FixtureRequest, tmp_path: Path, clock: HandMovedClock
) -> Iterator[Callable[[str], Switchboard]]:
    """Makes a switchboard of a name, without extensions and groups."""

    def make(name: str) -> Switchboard:
        server = request.getfixturevalue
        kinds: dict[str, Callable[[], Switchboard]] = {
            "twin": TwinSwitchboard,
            "static": StaticSwitchboard,
            "postgresql": lambda: PostgreSqlSwitchboard(server("postgresql")),
            "postgresql-integers": lambda: PostgreSqlSwitchboard(server("postgresql"), "integer"),
            "sqlite": lambda: SqliteSwitchboard(tmp_path / "roster.db"),
            "mariadb": lambda: MariaDbSwitchboard(server("mariadb")),
            "xapi": lambda: XapiSwitchboard(running.enter_context(xapi.start(clock))),
        }
        return kinds[name]()

    with ExitStack() as running:
        yield make


@pytest.fixture(params=SWITCHBOARDS)
def board(request: pytest.FixtureRequest, make_switchboard: Callable[[str], Switchboard]) -> Switchboard:
    return make_switchboard(request.param)


@pytest.fixture(params=[name for name in SWITCHBOARDS if name != "static"])
def board_with_log_in(request: pytest.FixtureRequest, make_switchboard: Callable[[str], Switchboard]) -> Switchboard:
    return make_switchboard(request.param)


@pytest.fixture
def postgres(make_switchboard: Callable[[str], Switchboard]) -> PostgreSqlSwitchboard:
    return make_switchboard("postgresql")


def seen(source: MemberSource, group: str) -> dict[str, bool | None] | None:
    """The group's members by extension, each with its availability."""
    observation = source.observe([group])[group]
    return None if observation.members is None else {m.extension: m.available for m in observation.members}


# Who belongs to a group


def test_a_group_has_its_members_and_no_others(board: Switchboard) -> None:
    people = [Extension(number) for number in ("101", "102", "103")]
    board.set_up(people, [Group("800", ("101", "102")), Group("801", ("103",)), Group("900", ("102",), "ring group")])
    source = board.source()
    assert seen(source, "800") == {"101": True, "102": True}
    assert seen(source, "801") == {"103": True}
    assert seen(source, "900") == {"102": True}


def test_all_groups_that_are_asked_for_are_answered_at_once_and_no_others(board: Switchboard) -> None:
    board.set_up([Extension("101")], [Group("800", ("101",)), Group("801"), Group("900", ("101",), "ring group")])
    found = board.source().observe(["900", "800", "404"])
    assert set(found) == {"800", "900", "404"}
    assert found["800"] == found["900"] == Observation((Member("101", available=True),))
    assert board.source().observe([]) == {}


@pytest.mark.parametrize("kind", ["queue", "ring group"])
def test_a_group_without_members_has_nobody_and_that_is_certain(board: Switchboard, kind: str) -> None:
    board.set_up([Extension("101")], [Group("800", (), kind), Group("801", ("101",), kind)])
    observation = board.source().observe(["800"])["800"]
    assert observation.members == ()
    assert observation.available == 0
    assert observation.problem == ""


def test_a_group_that_does_not_exist_is_unknown_and_says_so(board: Switchboard) -> None:
    board.set_up([Extension("101")], [Group("800", ("101",))])
    observation = board.source().observe(["801", "800"])["801"]
    assert observation.members is None
    assert observation.available is None
    assert "group" in observation.problem


def test_numbers_are_texts_and_keep_their_leading_zeros(board: Switchboard) -> None:
    board.set_up([Extension("007")], [Group("0800", ("007",))])
    assert seen(board.source(), "0800") == {"007": True}
    assert seen(board.source(), "800") is None


def test_a_large_group_is_seen_whole(board: Switchboard) -> None:
    people = [Extension(str(number)) for number in range(1000, 1130)]
    board.set_up(people, [Group("800", tuple(extension.number for extension in people))])
    assert len(seen(board.source(), "800") or ()) == 130


# Who of them is available


def test_an_agent_who_is_logged_out_of_queues_is_not_available(board_with_log_in: Switchboard) -> None:
    people = [Extension("101"), Extension("102", in_queues=False)]
    board_with_log_in.set_up(people, [Group("800", ("101", "102"))])
    assert seen(board_with_log_in.source(), "800") == {"101": True, "102": False}


@pytest.mark.parametrize("kind", ["queue", "ring group"])
def test_a_disabled_extension_is_not_available(board_with_log_in: Switchboard, kind: str) -> None:
    board_with_log_in.set_up([Extension("101"), Extension("102", enabled=False)], [Group("800", ("101", "102"), kind)])
    assert seen(board_with_log_in.source(), "800") == {"101": True, "102": False}


def test_in_a_ring_group_there_is_no_log_in(board: Switchboard) -> None:
    board.set_up([Extension("101", in_queues=False)], [Group("900", ("101",), "ring group")])
    assert seen(board.source(), "900") == {"101": True}


def test_who_logs_in_or_out_is_seen_by_the_next_look(board_with_log_in: Switchboard) -> None:
    source = board_with_log_in.source()
    for in_queues in (True, False, True):
        board_with_log_in.set_up([Extension("101", in_queues=in_queues)], [Group("800", ("101",))])
        assert seen(source, "800") == {"101": in_queues}


def test_who_is_logged_out_of_one_queue_only_is_available_in_the_other(board_with_log_in: Switchboard) -> None:
    queues = [Group("800", ("101",), out_of_this=frozenset({"101"})), Group("801", ("101",))]
    board_with_log_in.set_up([Extension("101")], queues)
    source = board_with_log_in.source()
    assert seen(source, "801") == {"101": True}
    unseen_by_xapi = not board_with_log_in.sees_each_queue
    assert isinstance(board_with_log_in, XapiSwitchboard) == unseen_by_xapi
    assert seen(source, "800") == {"101": unseen_by_xapi}


# 3CX's own tables


def test_what_the_tables_leave_open_is_no_log_out(postgres: PostgreSqlSwitchboard) -> None:
    postgres.set_up(
        [Extension("101"), Extension("102")], [Group("800", ("101",)), Group("900", ("102",), "ring group")]
    )
    source = postgres.source()
    postgres.server.sql("UPDATE queue2dn SET is_logged_in = NULL")
    postgres.server.sql("DELETE FROM users")
    postgres.server.sql("DELETE FROM extension WHERE fkiddn IN (SELECT iddn FROM dn WHERE value = '102')")
    assert seen(source, "800") == {"101": None}
    assert seen(source, "900") == {"102": None}
    postgres.server.sql("UPDATE extension SET qstatus = 0")
    assert seen(source, "800") == {"101": False}


def test_a_queue_and_a_ring_group_without_anybody_are_there_all_the_same(postgres: PostgreSqlSwitchboard) -> None:
    postgres.set_up([], [Group("800"), Group("900", (), "ring group")])
    assert seen(postgres.source(), "800") == seen(postgres.source(), "900") == {}


# A SELECT of one's own


@pytest.fixture(params=["sqlite", "mariadb"])
def roster(request: pytest.FixtureRequest, make_switchboard: Callable[[str], Switchboard]) -> RosterSwitchboard:
    return make_switchboard(request.param)


WRITTEN = {
    True: ("1", "'1'", "'TRUE'", "' yes '", "'t'", "1 = 1", "1.0"),
    False: ("0", "'No'", "'f'", "1 = 2"),
    None: ("NULL", "''", "'maybe'", "2"),
}


def test_yes_and_no_may_be_written_in_many_ways_and_anything_else_is_unknown(roster: RosterSwitchboard) -> None:
    for meaning, values in WRITTEN.items():
        for value in values:
            source = roster.source_of(f"SELECT 800 AS GROUP_ID, 101 AS Extension, {value} AS available")
            assert seen(source, "800") == {"101": meaning}, value


def test_a_bit_of_mysql_is_yes_or_no(make_switchboard: Callable[[str], Switchboard]) -> None:
    roster = make_switchboard("mariadb")
    for value, meaning in (("b'1'", True), ("b'0'", False)):
        source = roster.source_of(f"SELECT 800 AS group_id, 101 AS extension, {value} AS available")
        assert seen(source, "800") == {"101": meaning}


def test_blanks_around_numbers_do_not_matter(roster: RosterSwitchboard) -> None:
    source = roster.source_of("SELECT '800   ' AS group_id, ' 101 ' AS extension, 1 AS available")
    assert seen(source, "800") == {"101": True}


def test_the_select_may_stand_in_a_file_of_ones_own(tmp_path: Path) -> None:
    (tmp_path / "roster.sql").write_text(f"-- mine\n{OWN_SELECT};\n", "utf-8")
    assert read_members("roster.sql", tmp_path) == OWN_SELECT.strip()
    with pytest.raises(SourceMisconfigured, match=r"call_groups\.members\.select: none\.sql"):
        read_members("none.sql", tmp_path)


# What goes wrong


def failure_of(source: MemberSource, *, secret: str | None = None) -> PipelineError:
    """What looking raises: one line that names the section of the configuration, without a secret anywhere."""
    with pytest.raises((SourceMisconfigured, SourceUnavailable)) as caught:
        source.observe(["800"])
    shown = "".join(traceback.format_exception(caught.value))
    assert secret is None or secret not in shown
    assert "\n" not in str(caught.value)
    assert "call_groups.members." in str(caught.value)
    assert "cdr_database" not in str(caught.value)
    return caught.value


def misconfigured(source: MemberSource, *settings: str) -> str:
    failure = failure_of(source, secret=SECRET)
    assert isinstance(failure, SourceMisconfigured)
    assert [setting for setting in settings if setting not in str(failure)] == []
    return str(failure)


@pytest.fixture(params=SQL_SWITCHBOARDS)
def database(
    request: pytest.FixtureRequest, make_switchboard: Callable[[str], Switchboard]
) -> PostgreSqlSwitchboard | RosterSwitchboard:
    return make_switchboard(request.param)


@pytest.fixture(params=["postgresql", "mariadb"])
def server(
    request: pytest.FixtureRequest, make_switchboard: Callable[[str], Switchboard]
) -> PostgreSqlSwitchboard | MariaDbSwitchboard:
    return make_switchboard(request.param)


def test_a_table_that_is_not_there_is_the_selects_fault(database: PostgreSqlSwitchboard | RosterSwitchboard) -> None:
    source = database.source_of("SELECT 1 AS group_id, 1 AS extension, 1 AS available FROM nobody")
    assert "nobody" in misconfigured(source, "call_groups.members.select")


def test_a_column_that_is_not_there_is_the_selects_fault(database: PostgreSqlSwitchboard | RosterSwitchboard) -> None:
    source = database.source_of("SELECT 1 AS group_id, 1 AS extension, moonphase AS available")
    assert "moonphase" in misconfigured(source, "call_groups.members.select")


def test_columns_that_the_select_does_not_yield_are_named_all_at_once(
    database: PostgreSqlSwitchboard | RosterSwitchboard,
) -> None:
    message = misconfigured(database.source_of("SELECT 1 AS extension, 2 AS other"), "call_groups.members.select")
    assert "group_id, available" in message


def test_a_select_without_end_is_refused(postgres: PostgreSqlSwitchboard) -> None:
    source = postgres.source_of(
        "SELECT 800 AS group_id, n AS extension, 1 AS available FROM generate_series(1, 60000) n"
    )
    assert "50000" in misconfigured(source, "call_groups.members.select")


def test_as_many_rows_as_are_taken_are_all_there_and_a_numeric_group_is_known_by_its_digits(
    postgres: PostgreSqlSwitchboard,
) -> None:
    source = postgres.source_of(
        "SELECT 800.0 AS group_id, n AS extension, 1 AS available FROM generate_series(1, 50000) n"
    )
    assert source.observe(["800"])["800"].available == 50_000


def test_3cxs_select_on_another_database_is_the_selects_fault(postgres: PostgreSqlSwitchboard) -> None:
    postgres.server.sql("DROP TABLE queue2dn")
    assert "queue2dn" in misconfigured(postgres.source_of(THREE_CX_V20), "call_groups.members.select")


def test_a_wrong_password_names_the_settings_of_the_login(
    server: PostgreSqlSwitchboard | MariaDbSwitchboard,
) -> None:
    source = server.source_of(OWN_SELECT, password=SECRET)
    misconfigured(source, "call_groups.members.database.username", "password")


def test_a_database_that_is_not_there_names_the_setting(server: PostgreSqlSwitchboard | MariaDbSwitchboard) -> None:
    misconfigured(server.source_of(OWN_SELECT, database="phones"), "call_groups.members.database.database")


def test_a_table_that_the_login_may_not_read_asks_for_a_grant(postgres: PostgreSqlSwitchboard) -> None:
    source = postgres.source_of("SELECT rolname AS group_id, 1 AS extension, 1 AS available FROM pg_authid")
    assert "grant it SELECT" in misconfigured(source, "call_groups.members.select")


def test_a_certificate_that_nobody_vouches_for_names_the_setting(
    server: PostgreSqlSwitchboard | MariaDbSwitchboard,
) -> None:
    source = server.source_of(OWN_SELECT, trust_server_certificate=False)
    misconfigured(source, "call_groups.members.database.trust_server_certificate")


def test_a_certificate_from_the_configured_file_is_accepted(
    server: PostgreSqlSwitchboard | MariaDbSwitchboard,
) -> None:
    select = "SELECT 800 AS group_id, 101 AS extension, 1 AS available"
    verified = {"trust_server_certificate": False, "ca_file": str(server.server.certificate), "host": "localhost"}
    assert seen(server.source_of(select, **verified), "800") == {"101": True}


def test_a_server_that_is_down_is_unavailable(
    server: PostgreSqlSwitchboard | MariaDbSwitchboard, closed_port: int
) -> None:
    source = server.source_of(OWN_SELECT, port=closed_port, password=SECRET)
    assert isinstance(failure_of(source, secret=SECRET), SourceUnavailable)


def test_a_server_that_came_back_is_asked_by_the_same_source(postgres: PostgreSqlSwitchboard) -> None:
    postgres.set_up([Extension("101")], [Group("800", ("101",))])
    source = postgres.source()
    postgres.server.kill()
    try:
        assert isinstance(failure_of(source), SourceUnavailable)
    finally:
        postgres.server.restart()
    assert seen(source, "800") == {"101": True}


SLOW = {
    "postgresql": "SELECT 800 AS group_id, 101 AS extension, 1 AS available FROM pg_sleep(15)",
    "mariadb": "SELECT 800 AS group_id, 101 AS extension, SLEEP(15) AS available",
}


@pytest.mark.parametrize("name", SLOW)
def test_a_select_that_takes_too_long_is_unavailable(name: str, make_switchboard: Callable[[str], Switchboard]) -> None:
    source = make_switchboard(name).source_of(SLOW[name], statement_timeout_seconds=1)
    assert isinstance(failure_of(source), SourceUnavailable)


WRITES = "INSERT INTO dn VALUES (999, ''999'', 0, 0); SELECT 1"


def test_a_select_that_calls_a_function_that_writes_is_refused(postgres: PostgreSqlSwitchboard) -> None:
    postgres.server.sql(f"CREATE OR REPLACE FUNCTION add_dn() RETURNS int LANGUAGE SQL AS '{WRITES}' SECURITY DEFINER")
    source = postgres.source_of("SELECT 800 AS group_id, 101 AS extension, add_dn() AS available")
    misconfigured(source, "call_groups.members.select", "write")
    assert postgres.server.sql("SELECT count(*) FROM dn") == [(0,)]


@pytest.mark.parametrize(
    "statement",
    ["DELETE FROM dn", "SELECT 1 AS group_id) members; DELETE FROM dn; --", "TRUNCATE dn RETURNING 1"],
)
def test_a_write_in_place_of_a_select_never_runs(postgres: PostgreSqlSwitchboard, statement: str) -> None:
    postgres.set_up([Extension("101")], [])
    failure_of(postgres.source_of(statement))
    assert postgres.server.sql("SELECT value FROM dn") == [("101",)]


def test_freetds_without_a_way_to_verify_names_the_settings_of_the_members(monkeypatch: pytest.MonkeyPatch) -> None:
    pyodbc = pytest.importorskip("pyodbc")
    settings = {"host": "127.0.0.1", "database": "x", "username": "u", "password": SECRET, "engine": "sqlserver"}
    for installed in ([], ["FreeTDS"]):
        monkeypatch.setattr(pyodbc, "drivers", lambda installed=installed: installed)
        misconfigured(SqlMemberSource(MemberDatabase(**settings), OWN_SELECT), "call_groups.members.database.")
