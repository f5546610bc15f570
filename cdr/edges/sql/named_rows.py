"""What a SELECT yields: rows by the names of their columns, in small letters, whatever an engine makes of these."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Executable, Select, Subquery, literal_column, select, text

from cdr.edges.sql.connections import Connections, Session
from cdr.edges.sql.row_by_row import RawRow
from cdr.edges.sql.selects import as_text
from shared.errors import SourceMisconfigured

MOST_ROWS = 50_000
"""Of a list that is read whole."""


def everything_of(source: Subquery) -> Select[Any]:
    """All columns, which are only known when it is carried out."""
    return select(text(f"{source.name}.*")).select_from(source)  # a column's name would become that of a single one


def names_of(session: Session, source: Subquery) -> Mapping[str, str]:
    """Its columns, each with its name as the engine spells it."""
    nothing = everything_of(source).where(literal_column("1 = 0"))
    return {name.lower(): name for name in session.execute(nothing).keys()}  # noqa: SIM118 - a result is no dict


def rows_of(session: Session, query: Executable, needed: Sequence[str], setting: str) -> list[RawRow]:
    """:raises SourceMisconfigured: it yields not every column that is needed, or one of them twice"""
    result = session.execute(query)
    names = [name.lower() for name in result.keys()]  # noqa: SIM118 - as above
    if missing := [name for name in needed if name not in names]:
        raise SourceMisconfigured(f"{setting}: the SELECT yields no column {', '.join(missing)}")
    if twice := [name for name in needed if names.count(name) > 1]:
        raise SourceMisconfigured(f"{setting}: the SELECT yields {', '.join(twice)} twice: which one counts?")
    return [dict(zip(names, row, strict=True)) for row in result]


def whole_list(connections: Connections, sql: str, columns: Sequence[str], setting: str) -> list[RawRow]:
    """All rows of a SELECT that yields few, over a connection of its own; raises as rows_of does, and for too many."""
    source = as_text(sql).columns().subquery("listed")
    with connections.open() as session:
        rows = rows_of(session, everything_of(source).limit(MOST_ROWS + 1), columns, setting)
    if len(rows) > MOST_ROWS:
        raise SourceMisconfigured(f"{setting}: the SELECT yields more than {MOST_ROWS} rows")
    return rows
