"""The log as Application Insights holds it, to be asked in its own language: written by the code, at a clock's time."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

from tests.fakes.clock import HandMovedClock
from tests.support.kql import rules

COLUMNS = "timestamp TIMESTAMP, message VARCHAR, severityLevel INTEGER, itemCount INTEGER"
COLUMNS_OF_RUNS = "timestamp TIMESTAMP, name VARCHAR, url VARCHAR, success BOOLEAN"
SEVERITY = {"INFO": 1, "WARNING": 2, "ERROR": 3}
COMPARED = {"GreaterThan": int.__gt__, "LessThan": int.__lt__}


class Traces(logging.Handler):
    """Keeps each line with the clock's time. Alerts look at their own window of it, up to now."""

    def __init__(self, clock: HandMovedClock) -> None:
        super().__init__()
        self._clock = clock
        self._database = _database()
        for table, columns in (("lines", COLUMNS), ("runs", COLUMNS_OF_RUNS)):
            self._database.execute(f"CREATE OR REPLACE TABLE {table} ({columns})")
        self._see(datetime(2000, 1, 1, tzinfo=UTC))

    def emit(self, record: logging.LogRecord) -> None:
        values = [self._naive(self._clock.now()), record.getMessage(), SEVERITY[record.levelname]]
        self._database.execute("INSERT INTO lines VALUES (?, ?, ?, 1)", values)

    def ran(self, name: str, url: str = "", *, success: bool) -> None:
        """As the host writes it down of each run; of those that were asked for by HTTP with the address."""
        values = [self._naive(self._clock.now()), name, url, success]
        self._database.execute("INSERT INTO runs VALUES (?, ?, ?, ?)", values)

    def ask(self, query: str) -> list[dict[str, Any]]:
        found = self._database.sql(_as_sql(query))
        return [dict(zip(found.columns, row, strict=True)) for row in found.fetchall()]

    def alerts(self, name: str) -> list[tuple[str, ...]]:
        """Which alerts of a rule are up: the values of its dimensions, for each; none, one, or one for each value."""
        (rule,) = [rule for rule in rules() if rule["name"] == name]
        self._see(self._clock.now() - timedelta(minutes=_minutes(rule["window"])))
        counts: dict[tuple[str, ...], int] = {} if rule["dimensions"] else {(): 0}
        for row in self.ask(rule["query"]):
            values = tuple(row[column] for column in rule["dimensions"])
            counts[values] = counts.get(values, 0) + 1
        return sorted(values for values, count in counts.items() if _is_up(rule, count))

    def _see(self, since: datetime) -> None:
        for view, table in (("traces", "lines"), ("requests", "runs")):
            self._database.execute(
                f"CREATE OR REPLACE VIEW {view} AS SELECT * FROM {table} WHERE timestamp > '{self._naive(since)}'"
            )

    @staticmethod
    def _naive(moment: datetime) -> datetime:
        return moment.astimezone(UTC).replace(tzinfo=None)


def _is_up(rule: Mapping[str, Any], count: int) -> bool:
    return COMPARED[rule["operator"]](count, rule["threshold"])


def _minutes(window: str) -> int:
    return {"PT15M": 15, "PT30M": 30, "PT1H": 60, "PT2H": 120}[window]


@cache
def _database() -> Any:
    """One for all, since a test's tables replace those of the one before: to open it takes longer than a test."""
    import duckdb_kql

    return duckdb_kql.connect()


@cache
def _as_sql(query: str) -> str:
    """Each query is asked again and again, of tables that are always the same."""
    import duckdb_kql
    from duckdb_kql.engine import schema

    return str(duckdb_kql.to_sql(query, schema=schema(_database())))


@contextmanager
def traces_of(clock: HandMovedClock) -> Iterator[Traces]:
    """While it lasts, everything that is logged is kept."""
    logger, traces = logging.getLogger("cdr"), Traces(clock)
    before = logger.level
    logger.setLevel(logging.INFO)
    logger.addHandler(traces)
    try:
        yield traces
    finally:
        logger.removeHandler(traces)
        logger.setLevel(before)
