"""Extension to e-mail address from a database: the phone system's own, or any with a SELECT for it.

The SELECT is a data file as that of the call detail records. It yields ``extension`` and ``email``, one row for each
address of each extension; NULL or nothing where an extension has none.
"""

from __future__ import annotations

from pathlib import Path

from cdr.edges.sql.connections import Connections
from cdr.edges.sql.named_rows import whole_list
from cdr.edges.sql.selects import read_select
from cdr.intake.folding.columns import text_in
from cdr.submission.directory import PhoneBook
from shared.config.phone_system import Database

SETTING = "extension_mapping_from.select"
COLUMNS = ("extension", "email")


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
        rows = whole_list(self._connections, sql, COLUMNS, SETTING)
        return PhoneBook.of((text_in(row, "extension") or "", text_in(row, "email")) for row in rows)
