"""Tables of calls on PostgreSQL, filled by the server itself: a million rows in seconds."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from tests.systems.phone_systems import CALLLOG, PostgreSqlPhoneSystem

FILL = """
INSERT INTO {table} (Id, CallId, StartTime, EndTime, Duration, CallerNumber, DestNumber, Extension, CallType, Answered)
SELECT n, 'call-' || n, at - interval '90 seconds', at, 90, '+19075550142', '101', '101', 0, 1
FROM (SELECT n, timestamp '{newest}' - ({last} - n) * interval '{apart} seconds' AS at
      FROM generate_series({first}, {last}) AS n) AS rows
"""
JOINED = "{table} INNER JOIN people ON people.number = {table}.Extension"


@dataclass(frozen=True)
class Table:
    """A table of calls of its own, beside CallLog."""

    system: PostgreSqlPhoneSystem
    name: str

    def __post_init__(self) -> None:
        self.system.sql(f"CREATE UNLOGGED TABLE {self.name} (LIKE CallLog INCLUDING ALL)")

    def add(self, rows: int) -> None:
        """So many more rows, twenty seconds after one another, the newest of which ended just now."""
        if rows:
            ((last,),) = self.system.sql(f"SELECT coalesce(max(Id), 0) FROM {self.name}")
            self.fill(last + 1, last + rows, datetime.now(UTC), timedelta(seconds=20))

    def analyze(self) -> None:
        """As a server does from time to time, once there is much that it does not know: never for each row."""
        self.system.sql(f"ANALYZE {self.name}")

    def fill(self, first: int, last: int, newest: datetime, apart: timedelta) -> None:
        """Rows with these ids, the last of which ended then."""
        ended = newest.replace(tzinfo=None)
        self.system.sql(FILL.format(table=self.name, first=first, last=last, newest=ended, apart=apart.total_seconds()))
        self.system.sql(f"ANALYZE {self.name}")

    def schema(self, *, joined: bool = False) -> str:
        table = JOINED.format(table=self.name) if joined else self.name
        return CALLLOG.replace("FROM CallLog", f"FROM {table}")
