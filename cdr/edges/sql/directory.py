"""Extension to e-mail address from a database: the phone system's own, or any with a SELECT for it.

The SELECT is a data file as that of the call detail records. It yields ``extension`` and ``email``, one row for each
address of each extension; NULL or nothing where an extension has none.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sqlalchemy import select, text

from cdr.edges.sql.connections import Connections
from cdr.edges.sql.selects import as_text, read_select
from cdr.intake.columns import text_in
from cdr.submission.directory import Listing, PhoneBook
from shared.config.phone_system import Database
from shared.errors import SourceMisconfigured

SETTING = "extension_mapping_from.select"
COLUMNS = ("extension", "email")
MOST_ROWS = 50_000


class SqlDirectory:
    """A Directory. A connection lives for one reading, and the file is read with each, so that it can be mended."""

    def __init__(self, database: Database, select_name: str, root: Path) -> None:
        self._connections = Connections(database, SETTING)
        self._select_name = select_name
        self._engine = database.engine
        self._root = root
        self.name = f"database {database.database}" + (f" on {database.host}" if database.host else "")

    def phone_book(self) -> PhoneBook:
        sql = read_select(self._select_name, self._root, "config/directory", SETTING, self._engine)
        return PhoneBook.of(self._listings(sql))

    def _listings(self, sql: str) -> Iterator[Listing]:
        source = as_text(sql).columns().subquery("directory")
        query: Any = select(text("directory.*")).select_from(source).limit(MOST_ROWS)
        with self._connections.open() as connection:
            result = connection.execute(query)
            names = [name.lower() for name in result.keys()]  # noqa: SIM118 - a result is no dict
            rows = [dict(zip(names, row, strict=True)) for row in result]
        if missing := [name for name in COLUMNS if name not in names]:
            raise SourceMisconfigured(f"{SETTING}: it yields no column {', '.join(missing)}")
        if len(rows) == MOST_ROWS:
            raise SourceMisconfigured(f"{SETTING}: it yields more than {MOST_ROWS} rows")
        for row in rows:
            yield text_in(row, "extension") or "", text_in(row, "email")
