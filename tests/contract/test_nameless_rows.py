"""What has nothing to be called by is in nobody's way and counted; what comes twice is one."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest

from cdr.intake.folding.fold import FoldOptions
from cdr.intake.id_order.span import ALL
from shared.errors import SourceMisconfigured
from tests.fakes.clock import HandMovedClock
from tests.support import v18_cases
from tests.support.factories import make_leg_row
from tests.systems.leg_tables import COLUMNS_OF, LegTable
from tests.systems.phone_systems import DATABASES, SqlPhoneSystem
from tests.systems.plugin import MakePhoneSystem
from tests.systems.segment_tables import TABLES, SegmentTables

HOUR = timedelta(hours=1)
ON_EACH_SERVER = ("sqlite", "postgresql itself", "mariadb texts", "sqlserver freetds guids")


@pytest.fixture(params=DATABASES)
def system(request: pytest.FixtureRequest, make_phone_system: MakePhoneSystem) -> Any:
    return make_phone_system(request.param)


@pytest.fixture
def segments(system: SqlPhoneSystem, request: pytest.FixtureRequest) -> SegmentTables:
    """Of three calls, with the ids 1 to 3."""
    return _three_calls(SegmentTables(system, request.node.callspec.params["system"]))


def _three_calls(tables: SegmentTables) -> SegmentTables:
    spoken = v18_cases.CASES[0]["segments"]
    tables.insert(row for number in (9, 10, 11) for row in v18_cases.rows_of(spoken, call_id=number))
    return tables


def _ids(tables: SegmentTables, clock: HandMovedClock) -> list[str]:
    with tables.source(clock, FoldOptions(), page_size=2).connect() as reader:
        batches = list(reader.batches(reader.begin("beginning")))
    return [record.id for batch in batches for record in batch.records]


def test_rows_without_an_id_are_in_nobodys_way_and_counted(system: Any, clock: HandMovedClock) -> None:
    system.sql("DROP TABLE CallLog")
    system.types = ("BIGINT" if system.engine != "sqlite" else "INTEGER", *system.types[1:])
    system.create_table()
    moment = clock.now().replace(tzinfo=None, microsecond=0)
    system.insert(*({"id": n, "started_at": moment, "ended_at": moment} for n in (None, 1, None, 2)))
    with system.connect() as table:
        assert (table.nameless(1), table.nameless(1_000), table.newest_id()) == (1, 2, 2)
        assert (table.count_among(-5, 1), table.count_among(1, 2)) == (1, 2)
        between = table.rows_ended_between(clock.now() - HOUR, clock.now() + HOUR, ALL, 10)
        assert [row.id for row in table.rows_after(None, 10)] == [row.id for row in between] == [1, 2]


def test_calls_of_segments_without_an_id_are_too(segments: SegmentTables, clock: HandMovedClock) -> None:
    segments.system.sql("UPDATE cl_calls SET id = NULL WHERE id = 10")
    assert _ids(segments, clock) == ["9", "11"]
    with segments.source(clock, FoldOptions()).connect() as reader:
        assert reader.unread(reader.begin("now")).nameless == 1


def test_a_call_of_segments_that_a_replica_was_sent_twice_is_one(
    segments: SegmentTables, clock: HandMovedClock
) -> None:
    for name in TABLES:
        segments.system.sql(f"INSERT INTO {name} SELECT * FROM {name}")
    segments.system.sql("INSERT INTO cl_calls (id, start_time) SELECT id, start_time FROM cl_calls WHERE id = 10")
    assert _ids(segments, clock) == ["9", "10", "11"]
    with segments.source(clock, FoldOptions()).connect() as reader:
        assert reader.table.count_among(9, 10) == 2


@pytest.mark.parametrize("system", ["sqlite", "mariadb", "mssql-freetds"], indirect=True)
def test_calls_of_segments_with_ids_in_the_order_of_texts_are_refused_instead_of_passed_over(
    system: SqlPhoneSystem, clock: HandMovedClock, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = "nvarchar" if system.engine == "sqlserver" else "varchar(20)"
    monkeypatch.setitem(TABLES, "cl_calls", TABLES["cl_calls"].replace("id INT", f"id {text}"))  # type: ignore[arg-type]
    tables = _three_calls(SegmentTables(system, request.node.callspec.params["system"]))
    with pytest.raises(SourceMisconfigured, match=r"^3cx\.source: the column id of cl_calls must be a whole number"):
        _ids(tables, clock)


@pytest.mark.parametrize("name", ON_EACH_SERVER)
def test_legs_of_no_call_or_no_time_are_counted_and_copies_of_a_leg_count_once_where_it_ended(
    name: str, make_phone_system: MakePhoneSystem, clock: HandMovedClock
) -> None:
    system = make_phone_system(COLUMNS_OF[name].database)
    assert isinstance(system, SqlPhoneSystem)
    table = LegTable(system, COLUMNS_OF[name])
    nine = datetime.fromisoformat("2026-11-22 09:00:00+00:00")
    rows = [make_leg_row(f"leg {n}", "flow", nine + n * HOUR) for n in range(3)]
    never = {"cdr_started_at": None, "cdr_ended_at": None}
    table.insert([*rows, *rows, make_leg_row("stray", "flow", nine) | {"call_history_id": None}])
    table.insert([make_leg_row("never", "flow", nine) | never])
    with table.connect() as legs:
        assert (legs.nameless(1_000), legs.nameless(1), legs.count_ended(nine, nine + 2 * HOUR)) == (2, 1, 3)
