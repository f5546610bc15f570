"""What a phone system's database tells of itself, and its newest calls, on every engine."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from cdr.edges.sql.leg_table import read_legs, v20_source
from cdr.intake.folding.fold import FoldOptions
from cdr.intake.ports import CallSource
from cdr.intake.time_order.reader import LegPatience
from cdr.wiring.sources import make_source
from shared.clock import SystemClock
from shared.config.phone_system import CdrDatabase
from shared.errors import SourceMisconfigured, SourceUnavailable
from tests.support.factories import make_raw_row, make_settings
from tests.support.v20_cases import cases
from tests.systems.phone_systems import CALLLOG, DATABASES, SqlitePhoneSystem
from tests.systems.plugin import MakePhoneSystem

ROOT = Path(__file__).resolve().parents[2]
SERVERS = {"sqlite": "SQLite 3.", "mariadb": "MariaDB 1", "postgresql": "PostgreSQL 1", "mssql": "SQL Server 1"}
EVERY_CALL = 1_000


@pytest.mark.parametrize("name", DATABASES)
def test_a_database_tells_its_kind_and_version_its_tables_and_its_time(
    make_phone_system: MakePhoneSystem, name: str
) -> None:
    system = make_phone_system(name)
    system.insert(*(make_raw_row(id=n, answered=1) for n in range(1, 6)))
    source = system.source_of(CALLLOG)
    facts = source.about()
    assert facts.server.startswith(SERVERS[name.partition("-")[0]])
    assert facts.tables["calllog"] == "CallLog"
    assert abs(facts.now - datetime.now(UTC)) < timedelta(seconds=20)
    with source.connect() as reader:
        assert [record.id for record in reader.newest(3)] == ["5", "4", "3"]


def test_it_tells_so_whatever_its_table_is_called_but_not_while_it_is_away(tmp_path: Path) -> None:
    system = SqlitePhoneSystem(tmp_path / "pbx.db")
    system.sql("ALTER TABLE CallLog RENAME TO Elsewhere")
    system.sql("CREATE TABLE cdroutput (cdr_id)")
    assert system.source_of(CALLLOG).about().tables == {"v20": "cdroutput"}
    away = system.source_of(CALLLOG, engine="postgresql", host="127.0.0.1", port=1, username="a", password="b")
    with pytest.raises(SourceUnavailable):
        away.about()


@pytest.mark.parametrize("kind", ["v20", "v18", "calllog", "auto"])
def test_every_source_of_the_configuration_tells_it(tmp_path: Path, kind: str) -> None:
    system = SqlitePhoneSystem(tmp_path / "pbx.db")
    plain = make_settings()
    of_kind = plain.three_cx.model_copy(update={"source": kind, "cdr_database": system.settings()})
    settings = plain.model_copy(update={"three_cx": of_kind})
    source: CallSource = make_source(settings, ROOT, SystemClock())
    assert source.about().tables == {"calllog": "CallLog"}
    system.sql("DROP TABLE CallLog")
    if kind == "auto":
        with pytest.raises(SourceMisconfigured, match=r"3cx\.source auto"):
            make_source(settings, ROOT, SystemClock()).about()


def test_the_newest_calls_of_legs_are_whole_ones_by_their_ends(tmp_path: Path) -> None:
    rows = [row for case in cases() for row in case.rows]
    names = list(rows[0])
    with closing(sqlite3.connect(tmp_path / "pbx.db")) as connection, connection:
        connection.execute(f"CREATE TABLE cdroutput ({', '.join(names)})")
        marks = ", ".join("?" for _ in names)
        values = [[_stored(row.get(name)) for name in names] for row in rows]
        connection.executemany(f"INSERT INTO cdroutput VALUES ({marks})", values)
    database = CdrDatabase(engine="sqlite", database=str(tmp_path / "pbx.db"))
    options, clock = FoldOptions(), SystemClock()
    source = v20_source(database, read_legs("v20", ROOT), clock, LegPatience(), options=options, page_size=50)
    assert source.about().tables == {"v20": "cdroutput"}
    with source.connect() as reader:
        every = reader.newest(EVERY_CALL)
        assert reader.newest(7) == every[:7]
    ends = [str(record.values["ended_at"]) for record in every]
    assert ends == sorted(ends, reverse=True)
    assert len(every) > 20


def _stored(value: object) -> object:
    return value.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S.%f")[:-3] if isinstance(value, datetime) else value
