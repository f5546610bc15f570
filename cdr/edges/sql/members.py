"""Members of call groups from a database: the phone system's own, or any with a SELECT for it.

The SELECT is a data file as that of the call detail records. It yields ``group_id``, ``extension`` and ``available``
(true or false in any spelling; NULL: not known), one row for each member, and for a group without members one row
without an extension. A group that has no row at all does not exist.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

from sqlalchemy import literal_column, select

from cdr.edges.sql.connections import Connections
from cdr.edges.sql.selects import as_text, read_select
from cdr.edges.sql.timeouts import USUAL, Timeouts
from cdr.groups.alerts import Member, Observation
from shared.config.phone_system import Database
from shared.errors import SourceMisconfigured
from shared.extensions import plain_extension

COLUMNS = ("group_id", "extension", "available")
MOST_ROWS = 50_000
MISSING = Observation(None, "the group does not exist in the phone system")

_TRUE = frozenset({"1", "true", "t", "yes", "y"})
_FALSE = frozenset({"0", "false", "f", "no", "n"})


def read_members(name: str, root: Path, engine: str = "") -> str:
    """The SELECT of ``call_groups.members.select``; raises as read_select does."""
    return read_select(name, root, "config/members", "call_groups.members.select", engine)


class SqlMemberSource:
    """A MemberSource. A connection lives for one check."""

    def __init__(self, database: Database, members_sql: str, timeouts: Timeouts = USUAL) -> None:
        self._connections = Connections(database, "call_groups.members.select", timeouts)
        self._sql = members_sql

    def observe(self, group_ids: Collection[str]) -> Mapping[str, Observation]:
        members: dict[str, list[Member]] = {}
        for row in self._rows():
            group = members.setdefault(plain_extension(str(row["group_id"])), [])
            if row["extension"] is not None and str(row["extension"]).strip():
                group.append(Member(str(row["extension"]).strip(), _flag(row["available"])))
        return {name: Observation(tuple(members[name])) if name in members else MISSING for name in group_ids}

    def _rows(self) -> Iterable[Mapping[str, Any]]:
        source = as_text(self._sql).columns().subquery("members")
        query: Any = select(literal_column("members.*")).select_from(source).limit(MOST_ROWS)
        with self._connections.open() as session:
            result = session.execute(query)
        names = [name.lower() for name in result.keys()]  # noqa: SIM118 - a result is no dict
        rows = [dict(zip(names, row, strict=True)) for row in result]
        if missing := [name for name in COLUMNS if name not in names]:
            raise SourceMisconfigured(f"call_groups.members.select: it yields no column {', '.join(missing)}")
        if len(rows) == MOST_ROWS:
            raise SourceMisconfigured(f"call_groups.members.select: it yields more than {MOST_ROWS} rows")
        return rows


def _flag(value: Any) -> bool | None:
    if isinstance(value, bytes):  # a BIT of MySQL
        value = int.from_bytes(value)
    word = str(value).strip().lower().removesuffix(".0")
    return True if word in _TRUE else False if word in _FALSE else None
