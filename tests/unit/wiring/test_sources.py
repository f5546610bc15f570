"""Which phone system is read: as ``3cx.source`` says, or as the tables that are there show."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import pytest

from cdr.intake.ports import CallSource
from cdr.wiring.sources import LateSource, make_source
from shared.errors import SourceMisconfigured
from tests.fakes.clock import HandMovedClock
from tests.fakes.row_table import InMemoryCallLog, InMemoryRowTable
from tests.support.events import Events
from tests.support.settings import parse_settings
from tests.support.workshop import NOON

ROOT = Path(__file__).parents[3]


def source_of(kind: str, database: Path, more: str = "") -> CallSource:
    text = f"3cx: {{source: {kind}, {more}cdr_database: {{engine: sqlite, database: '{database}'}}}}\n"
    settings = parse_settings(text + "api: {base_url: 'https://calls.example.com/api'}\n", {}, ROOT)
    return make_source(settings, ROOT, HandMovedClock(NOON))


@pytest.mark.parametrize(
    ("kind", "more"),
    [
        ("calllog", ""),
        ("v20", ""),
        ("v20", "replica_delay: 5 minutes, "),
        ("v18", ""),
        ("xapi", "xapi: {url: 'https://pbx.example', client_id: a, client_secret: b}, "),
    ],
)
def test_a_source_is_that_of_its_kind(tmp_path: Path, kind: str, more: str) -> None:
    source = source_of(kind, tmp_path / "calls.db", more)
    assert isinstance(source, LateSource)
    assert (source.name, source.make().name) == (kind, kind)


@pytest.mark.parametrize("of_old", ["", "schema: calllog, "], ids=["not given", "left from before"])
def test_the_select_is_the_one_that_belongs_to_the_source(tmp_path: Path, of_old: str) -> None:
    source = source_of("v20", tmp_path / "calls.db", of_old)
    assert isinstance(source, LateSource)
    assert source.make().name == "v20"


@pytest.mark.parametrize(
    ("tables", "name"),
    [(["CallLog"], "calllog"), (["CallLog", "cdroutput"], "v20"), (["cl_calls", "other"], "v18")],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_a_source_can_be_found_by_its_tables(tmp_path: Path, events: Events, tables: Sequence[str], name: str) -> None:
    database = tmp_path / "calls.db"
    source = source_of("auto", database)
    with pytest.raises(SourceMisconfigured, match=r"3cx\.cdr_database"):
        source.connect()
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("CREATE TABLE unrelated (id INTEGER)")
        with pytest.raises(SourceMisconfigured, match="sees none of the tables cdroutput, cl_calls, CallLog"):
            _ = source.name
        for table in tables:
            connection.execute(f"CREATE TABLE {table} (id INTEGER)")
    assert (source.name, source.name) == (name, name)
    found = events.only("source.found")
    assert (found["source"], "other" in found["tables"]) == (name, False)


def test_a_source_is_made_once_it_can_be_and_kept() -> None:
    made: list[int] = []

    def make() -> CallSource:
        made.append(1)
        if len(made) == 1:
            raise SourceMisconfigured("3cx.schema: no file")
        return InMemoryCallLog(InMemoryRowTable(), HandMovedClock(NOON))

    source = LateSource("calllog", make)
    with pytest.raises(SourceMisconfigured):
        source.connect()
    for _ in range(2):
        with source.connect() as reader:
            reader.check()
    assert (len(made), source.name) == (2, "calllog")
