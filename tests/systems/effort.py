"""What a database server does for statements, counted by itself: the same however busy the machine is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing
from typing import Any

from tests.systems.mariadb import MariaDb
from tests.systems.postgresql import PostgreSql

Asked = Iterable[tuple[str, Any]]
"""Statements with their parameters."""

Effort = Mapping[str, int]
"""How many rows are come by, wanted or not; on PostgreSQL also how many pages are looked into."""

_COME_BY = ("Actual Rows", "Rows Removed by Filter", "Rows Removed by Index Recheck")
_PAGES = ("Shared Hit Blocks", "Shared Read Blocks")
_READS = "SHOW SESSION STATUS WHERE Variable_name LIKE 'Handler_read%'"


def effort_of_postgresql(server: PostgreSql, asked: Asked) -> Effort:
    effort = Counter[str]()
    for statement, parameters in asked:
        with server.connect() as connection:
            explained = f"EXPLAIN (ANALYZE, BUFFERS, TIMING OFF, FORMAT JSON) {statement}"
            row = connection.execute(explained.encode(), parameters).fetchone()
        plan = row[0][0]["Plan"] if row else {}
        scans = [node for node in _nodes(plan) if node["Node Type"].endswith("Scan")]
        effort["rows"] += sum(node.get(name, 0) * node["Actual Loops"] for node in scans for name in _COME_BY)
        effort["pages"] += sum(plan[name] for name in _PAGES)
    return effort


def _nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for inner in plan.get("Plans", ()):
        yield from _nodes(inner)


def effort_of_mariadb(server: MariaDb, asked: Asked) -> Effort:
    with closing(server.connect()) as connection, connection.cursor() as cursor:

        def reads() -> int:
            cursor.execute(_READS)
            return sum(int(count) for _, count in cursor.fetchall())

        own = reads() - reads()  # what it reads to tell them
        before = reads()
        for statement, parameters in asked:
            cursor.execute(statement, parameters)
            cursor.fetchall()
        return {"rows": reads() - before + own}


EFFORTS: Mapping[str, Callable[[Any, Asked], Effort]] = {
    "postgresql": effort_of_postgresql,
    "mysql": effort_of_mariadb,
}
"""By the engine."""
