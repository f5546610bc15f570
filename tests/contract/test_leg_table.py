"""What every LegTable does: the fake, SQLite, MariaDB, PostgreSQL, and SQL Server through each ODBC driver."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from cdr.edges.sql.leg_table import NEEDED, read_legs
from cdr.intake.folding.fold import FoldOptions
from cdr.intake.time_order import table as legs_by_call
from cdr.intake.time_order.reader import LegPatience
from cdr.intake.time_order.unfindable import PROBLEM
from cdr.wiring.sources import make_source
from shared.clock import SystemClock
from shared.errors import SourceMisconfigured, SourceUnavailable
from tests.fakes.clock import HandMovedClock
from tests.fakes.leg_table import InMemoryLegTable
from tests.support.events import Events
from tests.support.factories import make_settings
from tests.systems.leg_tables import COLUMNS_OF, Columns, LegTable, id_of
from tests.systems.phone_systems import PostgreSqlPhoneSystem, SqlitePhoneSystem, SqlPhoneSystem
from tests.systems.plugin import MakePhoneSystem
from tests.systems.postgresql import READER

NINE = datetime(2026, 11, 22, 9, 0, tzinfo=UTC)
EACH_SERVER = ("postgresql itself", "mariadb", "sqlite", "sqlserver freetds guids", "sqlserver microsoft guids")
"""Enough where the types of the columns are no matter."""
SECOND, MICROSECOND = timedelta(seconds=1), timedelta(microseconds=1)
PROJECT = Path(__file__).resolve().parents[2]


def leg(number: int, flow: str, ended_at: datetime | None = NINE, main_flow: str | None = None) -> dict[str, Any]:
    return {
        "cdr_id": f"leg-{number}",
        "call_history_id": flow,
        "main_call_history_id": main_flow,
        "cdr_started_at": NINE - SECOND,
        "cdr_ended_at": ended_at,
        "source_participant_is_incoming": True,
    }


@dataclass(frozen=True)
class Table:
    """One of those under test; ``name_of`` is how a flow is called there."""

    insert: Callable[[Iterable[Mapping[str, Any]]], object]
    connect: Callable[[], AbstractContextManager[legs_by_call.LegTable]]
    name_of: Callable[[str], str]

    def names(self, *flows: str) -> list[str]:
        return [self.name_of(flow) for flow in flows]


@pytest.fixture(params=["fake", *COLUMNS_OF])
def table(request: pytest.FixtureRequest, make_phone_system: MakePhoneSystem, clock: HandMovedClock) -> Table:
    if request.param == "fake":
        fake = InMemoryLegTable(clock)
        return Table(lambda rows: fake.add(*rows), fake.connect, str)
    columns = COLUMNS_OF[request.param]
    real = LegTable(_database(make_phone_system, columns), columns)
    return Table(real.insert, real.connect, id_of)


def _database(make_phone_system: MakePhoneSystem, columns: Columns) -> SqlPhoneSystem:
    system = make_phone_system(columns.database)
    assert isinstance(system, SqlPhoneSystem)
    return system


def test_ended_legs_come_in_order_of_their_ends_from_a_moment_on(table: Table) -> None:
    ends = [NINE + 2 * SECOND, None, NINE, NINE + SECOND, NINE, NINE - MICROSECOND]
    table.insert(leg(number, f"flow-{number}", end) for number, end in enumerate(ends))
    with table.connect() as legs:
        touched = legs.ended_from(NINE, 10)
        assert [one.ended_at for one in touched] == [NINE, NINE, NINE + SECOND, NINE + 2 * SECOND]
        assert [one.flow for one in touched[2:]] == table.names("flow-3", "flow-0")
        assert len(legs.ended_from(None, 10)) == 5
        assert [one.ended_at for one in legs.ended_from(NINE + MICROSECOND, 1)] == [NINE + SECOND]
        assert legs.newest_end() == NINE + 2 * SECOND


def test_legs_without_an_end_come_in_order_of_their_beginnings(table: Table) -> None:
    begun = [NINE + hours * timedelta(hours=1) for hours in (3, 1, 2, 0)]
    table.insert(leg(n, f"flow-{n}", None) | {"cdr_started_at": at} for n, at in enumerate(begun))
    table.insert([leg(9, "flow-9")])
    with table.connect() as legs:
        found = legs.endless_from(begun[1], begun[0], 10)
        assert [(each.flow, each.ended_at) for each in found] == [
            (table.name_of("flow-1"), begun[1]),
            (table.name_of("flow-2"), begun[2]),
        ]
        assert [len(legs.endless_from(None, begun[0], limit)) for limit in (2, 10)] == [2, 3]


def test_an_empty_table_has_no_legs_and_knows_the_time(table: Table, clock: HandMovedClock) -> None:
    with table.connect() as legs:
        assert (legs.newest_end(), legs.ended_from(None, 10), legs.legs_of(table.names("x"), 10)) == (None, [], [])
        near = [abs(legs.now() - each.now()) for each in (clock, SystemClock())]
        assert min(near) < timedelta(minutes=1)


def test_the_legs_of_a_flow_are_its_own_and_those_of_what_was_joined_to_it(table: Table) -> None:
    table.insert(
        [leg(1, "a"), leg(2, "a", None, "a"), leg(3, "b", main_flow="a"), leg(4, "c", main_flow="b"), leg(5, "d")]
    )
    with table.connect() as legs:
        assert _ids(legs.legs_of(table.names("a"), 10)) == sorted(table.names("leg-1", "leg-2", "leg-3"))
        assert _ids(legs.legs_of(table.names("a", "b"), 10)) == sorted(table.names("leg-1", "leg-2", "leg-3", "leg-4"))
        (own,) = legs.legs_of(table.names("d"), 10)
        assert (own.ended_at, own.main_flow, own.source.is_incoming) == (NINE, None, True)


def _ids(legs: Iterable[Any]) -> list[str]:
    return sorted(leg.id for leg in legs)


def test_as_many_legs_are_read_as_are_asked_for_and_one_more(table: Table) -> None:
    table.insert(leg(number, "loop") for number in range(20))
    with table.connect() as legs:
        assert len(legs.legs_of(table.names("loop"), 7)) == 8
        assert len(legs.legs_of(table.names("loop"), 20)) == 20


@pytest.mark.parametrize("table", ["fake", *EACH_SERVER], indirect=True)
def test_more_flows_than_one_statement_takes_are_read_in_several(table: Table) -> None:
    flows = [f"flow-{number}" for number in range(1_300)]
    table.insert([leg(1, flows[0]), leg(2, flows[-1])])
    with table.connect() as legs:
        assert len(legs.legs_of(table.names(*flows), 5_000)) == 2


@pytest.mark.parametrize("name", ["postgresql itself", "mariadb", "sqlserver freetds guids"])
def test_a_dropped_connection_is_a_failure_and_the_next_one_works_again(
    name: str, make_phone_system: MakePhoneSystem
) -> None:
    system: Any = _database(make_phone_system, COLUMNS_OF[name])
    table = LegTable(system, COLUMNS_OF[name])

    def use_a_dropped_one() -> None:
        with table.connect() as legs:
            system.drop_connections()
            legs.newest_end()

    with pytest.raises(SourceUnavailable):
        use_a_dropped_one()
    with table.connect() as legs:
        assert legs.newest_end() is None


# What only databases have


@pytest.fixture
def sqlite(make_phone_system: MakePhoneSystem) -> LegTable:
    columns = Columns("sqlite", ("text", str), ("text", str), ("text", str), "text", "text")
    return LegTable(_database(make_phone_system, columns), columns)


def test_times_that_are_none_are_of_no_leg_that_has_ended(sqlite: LegTable, events: Events) -> None:
    ends = ["9999-12-31 00:00:00", "0001-01-01 00:00:00", "0000-00-00", "soon", "2026-11-22 09:00:00.5"]
    sqlite.insert(leg(number, f"flow-{number}") | {"cdr_ended_at": end} for number, end in enumerate(ends))
    with sqlite.connect() as legs:
        assert [one.ended_at for one in legs.ended_from(NINE, 10)] == [NINE + SECOND / 2]
        (unreadable,) = legs.legs_of([id_of("flow-3")], 10)
    assert (unreadable.id, unreadable.ended_at) == (id_of("leg-3"), None)
    assert "cdr_ended_at" in (unreadable.problem or "")
    assert "cdr_ended_at" in events.only("row.unreadable")["reason"]


FAILING: Mapping[str, str] = {
    "sqlite": "json_extract('{', '$')",
    "mariadb": "9223372036854775807 * LENGTH(cdr_id)",
    "postgresql itself": "CAST(CAST(cdr_id AS text) AS integer)::text",
}


@pytest.mark.parametrize("name", FAILING)
@pytest.mark.parametrize("copies", [1, 2])
def test_a_leg_over_which_the_database_fails_is_one_with_a_problem_and_holds_up_no_other(
    name: str, copies: int, make_phone_system: MakePhoneSystem
) -> None:
    columns = COLUMNS_OF[name]
    table = LegTable(_database(make_phone_system, columns), columns)
    numbers = [1, 2, *[3] * copies, 4, 5]
    table.insert(leg(number, f"flow-{number // 3}") | {"destination_dn_number": "200"} for number in numbers)
    failing = f"CASE WHEN cdr_id = '{id_of('leg-3')}' THEN {FAILING[name]} ELSE destination_dn_number END"
    select = f"SELECT {', '.join(table.names)} FROM cdroutput".replace(
        "destination_dn_number", f"{failing} AS destination_dn_number"
    )
    with table.source(SystemClock(), LegPatience(), FoldOptions(), sql=select).connect() as reader:
        found = {one.id: one for one in reader.table.legs_of([id_of("flow-0"), id_of("flow-1")], 10)}
    broken = found.pop(id_of("leg-3"))
    assert found.keys() == {id_of(f"leg-{number}") for number in (1, 2, 4, 5)}
    assert {(one.problem, one.destination.number) for one in found.values()} == {(None, "200")}
    assert (broken.ended_at, broken.flow, broken.destination.number) == (NINE, id_of("flow-1"), None)
    assert "destination_dn_number cannot be read from the database" in (broken.problem or "")


@pytest.mark.parametrize("written", ["2026-11-22 09:00:00", "2026-11-22 09:00:00.0", "2026-11-22T09:00:00Z"])
def test_a_time_as_text_is_not_passed_over_however_short_it_is_written(sqlite: LegTable, written: str) -> None:
    sqlite.insert([leg(1, "flow") | {"cdr_ended_at": written}])
    with sqlite.connect() as legs:
        assert [one.ended_at for one in legs.ended_from(NINE, 10)] == [NINE]


@pytest.mark.parametrize("form", ["%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M:%SZ"])
def test_texts_that_sort_in_another_order_than_their_times_are_read_all_the_same(sqlite: LegTable, form: str) -> None:
    ends = [(NINE + n * SECOND).strftime(form) for n in range(20)]
    sqlite.insert(leg(number, f"flow-{number}") | {"cdr_ended_at": end} for number, end in enumerate(ends))
    with sqlite.connect() as legs:
        pages = list(legs_by_call.pages_from(legs, NINE + 10 * SECOND, 3))
    assert {one.flow for page in pages for one in page} >= {id_of(f"flow-{number}") for number in range(10, 20)}


@pytest.mark.parametrize("form", ["01.11.2026 09:00:0{}", "30.11.2026 09:00:0{}", "2026-11-22 09:00:0{}-05:00"])
def test_ends_whose_texts_do_not_sort_are_refused_instead_of_passed_over(sqlite: LegTable, form: str) -> None:
    sqlite.insert(leg(number, "flow") | {"cdr_ended_at": form.format(number)} for number in (1, 2, 3))
    with sqlite.connect() as legs, pytest.raises(SourceMisconfigured, match=r"the column cdr_ended_at holds '"):
        legs.ended_from(None, 10)


def test_ends_whose_texts_are_ahead_of_their_times_are_read_early_enough(sqlite: LegTable) -> None:
    sqlite.insert(leg(number, "flow") | {"cdr_ended_at": f"2026-11-22 11:00:0{number}+02:00"} for number in (1, 2, 3))
    with sqlite.connect() as legs:
        assert [one.ended_at for one in legs.ended_from(NINE, 10)] == [NINE + n * SECOND for n in (1, 2, 3)]


def test_legs_without_a_call_are_in_nobodys_way(sqlite: LegTable) -> None:
    sqlite.system.sql("INSERT INTO cdroutput (cdr_id, call_history_id, cdr_ended_at) VALUES ('x', '', '2026-11-22 09')")
    sqlite.insert([leg(1, "flow")])
    with sqlite.connect() as legs:
        assert [one.flow for one in legs.ended_from(None, 10)] == ["", id_of("flow")]
        assert legs_by_call.flows_of(legs.ended_from(None, 10)) == [id_of("flow")]


def test_a_select_of_ones_own_that_yields_legs_is_read_and_one_that_lacks_a_column_says_which(
    sqlite: LegTable, clock: HandMovedClock
) -> None:
    sqlite.insert([leg(1, "flow")])
    own = f"SELECT {', '.join(sorted(NEEDED))} FROM cdroutput WHERE 'a:b' = 'a:b'"
    lacking = own.replace("creation_method, ", "")
    for sql, problem in ((own, None), (lacking, "yields no column creation_method")):
        with sqlite.source(clock, LegPatience(), FoldOptions(), sql=sql).connect() as reader:
            if problem is None:
                assert len(reader.table.legs_of([id_of("flow")], 10)) == 1
                continue
            with pytest.raises(SourceMisconfigured, match=problem):
                reader.table.legs_of([id_of("flow")], 10)


def test_ids_that_cannot_be_found_again_stop_the_reading_instead_of_being_passed_over(
    sqlite: LegTable, clock: HandMovedClock
) -> None:
    sqlite.insert([leg(1, "flow")])
    sqlite.system.sql("UPDATE cdroutput SET call_history_id = '{' || call_history_id || '}'")
    source = sqlite.source(clock, LegPatience(), FoldOptions())
    lost = pytest.raises(SourceUnavailable, match="no leg is found by the call_history_id")
    with lost, source.connect() as reader:
        list(reader.batches(reader.begin("beginning")))


def test_a_call_whose_id_is_written_in_a_way_of_its_own_is_a_record_and_holds_up_no_other(
    sqlite: LegTable, clock: HandMovedClock
) -> None:
    sqlite.insert(leg(number, f"flow {number}") for number in (1, 2, 3))
    sqlite.system.sql(
        f"UPDATE cdroutput SET call_history_id = 'Mixed Case' WHERE call_history_id = '{id_of('flow 2')}'"
    )
    with sqlite.source(clock, LegPatience(settle=timedelta()), FoldOptions()).connect() as reader:
        batches = list(reader.batches(reader.begin("beginning")))
        told = {record.id: record.values.get("problem") for batch in batches for record in batch.records}
        assert told == {id_of("flow 1"): None, id_of("flow 3"): None, "mixed case": PROBLEM}
        assert not list(reader.batches(batches[-1].position)), "it is told of once"


@pytest.mark.parametrize("select", ["v20", "v20-replica"])
def test_each_select_that_comes_with_the_app_yields_what_a_leg_is_read_from(select: str) -> None:
    words = set(read_legs(select, PROJECT).replace(",", " ").split())
    assert words >= {*NEEDED}
    assert ("offload_id" in words) == (select == "v20-replica")


def test_timestamps_of_mysql_are_in_utc_wherever_the_server_is(make_phone_system: MakePhoneSystem) -> None:
    system = _database(make_phone_system, COLUMNS_OF["mariadb upper"])
    table = LegTable(system, COLUMNS_OF["mariadb upper"])
    table.insert([leg(1, "flow")])
    system.sql("SET GLOBAL time_zone = '+05:00'")
    try:
        with table.connect() as legs:
            assert legs.newest_end() == NINE
            assert [one.ended_at for one in legs.ended_from(NINE, 10)] == [NINE]
    finally:
        system.sql("SET GLOBAL time_zone = 'SYSTEM'")


# Which tables are there


def _settings(system: SqlPhoneSystem) -> Any:
    settings = make_settings()
    three_cx = settings.three_cx.model_copy(update={"source": "auto", "cdr_database": system.settings()})
    return settings.model_copy(update={"three_cx": three_cx})


V18_TABLE, V20_TABLE = "CREATE TABLE cl_calls (id INT)", "CREATE TABLE cdroutput (cdr_id VARCHAR(50))"


@pytest.mark.parametrize("database", ["sqlite", "mariadb", "postgresql", "mssql-freetds"])
@pytest.mark.parametrize(
    ("tables", "found"),
    [
        pytest.param([V20_TABLE], "v20", id="new"),
        pytest.param([V18_TABLE], "v18", id="old"),
        pytest.param([V18_TABLE, V20_TABLE], "v20", id="old-and-new-side-by-side"),
        pytest.param(["CREATE TABLE CallLog (Id INT)"], "calllog", id="a-table-of-calls"),
    ],
)
def test_auto_takes_the_newest_tables_that_are_there(
    database: str, tables: list[str], found: str, make_phone_system: MakePhoneSystem, events: Events
) -> None:
    system = _emptied(make_phone_system, database)
    for table in tables:
        system.sql(table)
    source = make_source(_settings(system), PROJECT, SystemClock())
    assert (source.name, source.name) == (found, found)
    assert events.only("source.found")["source"] == found


def test_auto_passes_over_tables_that_may_not_be_read(make_phone_system: MakePhoneSystem) -> None:
    system = _emptied(make_phone_system, "postgresql")
    assert isinstance(system, PostgreSqlPhoneSystem)
    for table in (V18_TABLE, V20_TABLE):
        system.sql(table)
    system.sql(f"REVOKE ALL ON cdroutput FROM {READER}")
    assert make_source(_settings(system), PROJECT, SystemClock()).name == "v18"


def test_auto_without_any_table_says_what_it_looked_for_and_looks_again(make_phone_system: MakePhoneSystem) -> None:
    system = _emptied(make_phone_system, "sqlite")
    source = make_source(_settings(system), PROJECT, SystemClock())
    with pytest.raises(SourceMisconfigured, match="none of the tables cdroutput, cl_calls, CallLog"):
        assert source.name
    system.sql(V20_TABLE)
    assert source.name == "v20"


def test_auto_on_a_database_out_of_reach_finds_nothing_out(tmp_path: Path) -> None:
    system = SqlitePhoneSystem(tmp_path / "pbx.db")
    (tmp_path / "pbx.db").unlink()
    with pytest.raises(SourceMisconfigured, match="the file cannot be opened"):
        assert make_source(_settings(system), PROJECT, SystemClock()).name


def _emptied(make_phone_system: MakePhoneSystem, database: str) -> SqlPhoneSystem:
    system = make_phone_system(database)
    assert isinstance(system, SqlPhoneSystem)
    for table in ("CallLog", "cl_calls", "cdroutput"):
        system.sql(f"DROP TABLE IF EXISTS {table}")
    return system
