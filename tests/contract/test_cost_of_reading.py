"""What is read of a database depends on what is new, or on the days that are compared, and never on how much there is:
what the server comes by is counted, of a table of some thousand rows and of one of two hundred thousand."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import pytest

from cdr.edges.sql.leg_table import read_legs, v20_source
from cdr.intake.folding.fold import FoldOptions
from cdr.intake.ports import CallReader, CallSource
from cdr.intake.time_order.reader import LegPatience
from shared.clock import SystemClock
from tests.support.sections import SECTIONS
from tests.support.statements import statements
from tests.systems.effort import EFFORTS, Effort
from tests.systems.leg_tables import COLUMNS_OF, PROJECT, LegTable
from tests.systems.phone_systems import CALLLOG, MariaDbPhoneSystem, PostgreSqlPhoneSystem, SqlPhoneSystem

SMALL, LARGE = 20_000, 200_000
CALLS = 25
"""New ones in a poll; where calls have legs, four each."""
MOST_ROWS, MOST_OF_A_DAY, MOST_PAGES = 1.0, 1.25, 1.5
"""Times as much as of the small table. The ids around a day are found to a thousand; to find a key takes three pages in
a large index, two in a small one."""
MOST_STATEMENTS, MOST_FOR_A_DAY = 7, 20
"""For the ends of a day the ids are halved."""

LEGS = """
INSERT INTO cdroutput (
    cdr_id, call_history_id, main_call_history_id, source_entity_type, source_participant_phone_number,
    source_participant_is_incoming, destination_entity_type, destination_dn_number, creation_method,
    termination_reason, cdr_started_at, cdr_answered_at, cdr_ended_at
)
SELECT md5(n::text)::uuid, call, call, 'external_line',
    '+19075550142', true, 'extension', '101', 'route_to', 'src_participant_terminated', ended, ended, ended
FROM (
    SELECT n, md5((n - 1 >> 2)::text)::uuid AS call, now() - {ago} * interval '1 minute' AS ended
    FROM generate_series({first}, {last}) AS n
    OFFSET 0  -- each value is made once
) AS legs
"""
_ROWS = """
INSERT INTO CallLog (Id, CallId, EndTime, Duration, CallerNumber, DestNumber, Extension, CallType, Answered)
SELECT n, 'call', {}, 90, '+19075550142', '101', '101', 0, 1 FROM {}
"""
ROWS = {
    "postgresql": _ROWS.format(
        "now() AT TIME ZONE 'UTC' - {ago} * interval '1 minute'", "generate_series({first}, {last}) AS n"
    ),
    "mysql": _ROWS.format(
        "UTC_TIMESTAMP() - INTERVAL {ago} MINUTE", "(SELECT seq AS n FROM seq_{first}_to_{last}) AS numbers"
    ),
}
DAY = timedelta(days=1)

ANALYZE = {"postgresql": "ANALYZE", "mysql": "ANALYZE TABLE"}


class Kind(NamedTuple):
    """A source, and what fills its table with numbered rows, four to a call where a row is a leg."""

    system: SqlPhoneSystem
    table: str
    fill: str
    rows_of_a_call: int
    source_of: Callable[[str], CallSource]
    """By the name of its table."""
    indexes: Sequence[str] = ()


def legs_on(system: PostgreSqlPhoneSystem) -> Kind:
    select, settings = read_legs("v20", PROJECT), system.settings(encrypt=False)
    LegTable(system, COLUMNS_OF["postgresql itself"])

    def source_of(table: str) -> CallSource:
        sql = select.replace("cdroutput", table)
        return v20_source(settings, sql, SystemClock(), LegPatience(), options=FoldOptions())

    return Kind(system, "cdroutput", LEGS, 4, source_of, list(advised_indexes()))


def calls_on(system: SqlPhoneSystem, join: str = "") -> Kind:
    def source_of(table: str) -> CallSource:
        return system.source_of((CALLLOG + join).replace("CallLog", table), encrypt=False)

    return Kind(system, "CallLog", ROWS[system.engine], 1, source_of)


def joined_calls_on(system: PostgreSqlPhoneSystem) -> Kind:
    system.sql("CREATE TABLE IF NOT EXISTS people (number TEXT PRIMARY KEY)")
    system.sql("INSERT INTO people VALUES ('101') ON CONFLICT DO NOTHING")
    return calls_on(system, " INNER JOIN people ON people.number = CallLog.Extension")


def advised_indexes() -> Iterator[str]:
    """As the documents write them for PostgreSQL."""
    text = (PROJECT / "docs" / "connect-3cx.md").read_text("utf-8")
    section = text.partition("## Indexes for a replica")[2].partition("\n## ")[0]
    yield from re.findall(r"CREATE INDEX [^;]+", section.partition("```sql")[2].partition("```")[0])


class Cost(NamedTuple):
    """What it takes to be told of so many calls."""

    calls: int
    statements: int
    effort: Effort

    def __str__(self) -> str:
        done = ", ".join(f"{count:,} {what}" for what, count in sorted(self.effort.items()))
        return f"{self.statements} statements, {done}"


class Replica:
    """A table of so many rows, a minute after one another, the newest of which ended now."""

    def __init__(self, kind: Kind, rows: int) -> None:
        self.kind, self.rows, self.table = kind, 0, f"{kind.table}_{rows}"
        self.source = kind.source_of(self.table)
        like = {"postgresql": "(LIKE {} INCLUDING ALL)", "mysql": "LIKE {}"}[kind.system.engine].format(kind.table)
        self._sql(f"CREATE TABLE {self.table} {like}")
        self._fill(rows, ago=f"{rows} - n")
        for index in kind.indexes:
            self._sql(re.sub(rf"INDEX (\w+)(\s+)ON {kind.table}", rf"INDEX \1_{rows}\2ON {self.table}", index))
        self._sql(f"{ANALYZE[kind.system.engine]} {self.table}")
        with self.source.connect() as reader:
            self._position = reader.begin("now")

    def add(self) -> None:
        self._fill(CALLS * self.kind.rows_of_a_call, ago="0")

    def _fill(self, rows: int, ago: str) -> None:
        fill = self.kind.fill.format(first=self.rows + 1, last=self.rows + rows, ago=f"({ago})")
        self._sql(fill.replace(f"INTO {self.kind.table}", f"INTO {self.table}"))
        self.rows += rows

    def poll(self) -> Cost:
        def read(reader: CallReader) -> int:
            told = 0
            for batch in reader.batches(self._position):
                self._position, told = batch.position, told + len(batch.records)
            reader.lag(self._position)
            return told

        return self._cost_of(read)

    def count(self) -> Cost:
        """Of what no poll comes by, as it is counted every five minutes; of calls it tells none."""
        return self._cost_of(lambda reader: reader.unread(self._position).nameless)

    def day(self) -> Cost:
        """Of one that ended some days ago."""
        end = datetime.now(UTC) - 5 * DAY
        return self._cost_of(lambda reader: sum(map(len, reader.ended_between(end - DAY, end))))

    def _cost_of(self, ask: Callable[[CallReader], int]) -> Cost:
        with statements() as sent, self.source.connect() as reader:
            calls = ask(reader)
        asked = [each for each in sent if self.table in each[0]]
        return Cost(calls, len(asked), EFFORTS[self.kind.system.engine](self.kind.system.server, asked))

    def _sql(self, text: str) -> None:
        self.kind.system.sql(text)


KINDS: Mapping[str, Callable[[pytest.FixtureRequest], Kind]] = {
    "legs on PostgreSQL": lambda request: legs_on(PostgreSqlPhoneSystem(request.getfixturevalue("postgresql"))),
    "calls on PostgreSQL": lambda request: calls_on(PostgreSqlPhoneSystem(request.getfixturevalue("postgresql"))),
    "calls of a JOIN on PostgreSQL": lambda request: joined_calls_on(
        PostgreSqlPhoneSystem(request.getfixturevalue("postgresql"))
    ),
    "calls on MariaDB": lambda request: calls_on(MariaDbPhoneSystem(request.getfixturevalue("mariadb"))),
}


@pytest.fixture(params=KINDS)
def replicas(request: pytest.FixtureRequest) -> Iterator[tuple[Replica, Replica]]:
    kind = KINDS[request.param](request)
    made = Replica(kind, SMALL), Replica(kind, LARGE)
    yield made
    for each in made:
        kind.system.sql(f"DROP TABLE {each.table}")


def test_of_a_large_table_no_more_is_read_than_of_a_small_one(
    replicas: tuple[Replica, Replica], request: pytest.FixtureRequest
) -> None:
    small, large = replicas
    costs = {"an idle poll": [each.poll() for each in replicas]}
    for each in replicas:
        each.add()
    costs["a poll of new calls"] = [each.poll() for each in replicas]
    costs["a count of what is not read"] = [each.count() for each in replicas]
    costs["a day to reconcile"] = [each.day() for each in replicas]
    a_day = 24 * 60 // small.kind.rows_of_a_call
    for (what, (few, many)), calls in zip(costs.items(), (0, CALLS, 0, a_day), strict=True):
        assert few.calls == many.calls == calls
        assert many.statements <= (MOST_FOR_A_DAY if calls == a_day else MOST_STATEMENTS), what
        assert many.effort["rows"] <= (MOST_OF_A_DAY if calls == a_day else MOST_ROWS) * few.effort["rows"], what
        assert many.effort.get("pages", 0) <= MOST_PAGES * few.effort.get("pages", 0), what
    SECTIONS[f"cost of {request.node.callspec.id}"] = "\n".join(
        f"{what}: {few} with {small.rows:,} rows, {many} with {large.rows:,}" for what, (few, many) in costs.items()
    )
