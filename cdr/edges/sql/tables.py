"""Which tables a login can read: asked by reading nothing from them, since catalogues are not for every login."""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import func, literal, select, table

from cdr.edges.sql.connections import Connections
from shared.config.phone_system import Database
from shared.errors import SourceMisconfigured


def tables_there(database: Database, names: Iterable[str]) -> set[str]:
    """Those of the tables that can be read.

    :raises SourceUnavailable, SourceMisconfigured: the database as a whole cannot be
    """
    there: set[str] = set()
    with Connections(database, "3cx.source").open() as connection:
        connection.execute(select(literal(1)))
        for name in names:
            nothing = select(literal(1).label("one")).select_from(table(name)).where(literal(1) == 0).subquery()
            try:
                connection.execute(select(func.count()).select_from(nothing))
            except SourceMisconfigured:
                continue
            there.add(name)
    return there
