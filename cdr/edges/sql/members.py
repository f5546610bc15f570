"""Members of call groups from a database: the phone system's own, or any with a SELECT for it.

The SELECT is a data file as that of the call detail records. It yields ``group_id``, ``extension`` and ``available``
(true or false in any spelling; NULL: not known), one row for each member, and for a group without members one row
without an extension. A group that has no row at all does not exist.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path

from cdr.edges.sql.connections import Connections
from cdr.edges.sql.named_rows import whole_list
from cdr.edges.sql.selects import read_select
from cdr.groups.alerts import Member, Observation
from cdr.intake.folding.columns import flag_in, text_in
from shared.config.phone_system import Database
from shared.extensions import plain_extension

SETTING = "call_groups.members.select"
COLUMNS = ("group_id", "extension", "available")
MISSING = Observation(None, "the group does not exist in the phone system")


def read_members(name: str, root: Path, engine: str = "") -> str:
    """Raises as read_select does."""
    return read_select(name, root, "config/members", SETTING, engine)


class SqlMemberSource:
    """A MemberSource. A connection lives for one check."""

    def __init__(self, database: Database, members_sql: str) -> None:
        self._connections = Connections(database, SETTING)
        self._sql = members_sql

    def observe(self, group_ids: Collection[str]) -> Mapping[str, Observation]:
        members: dict[str, list[Member]] = {}
        for row in whole_list(self._connections, self._sql, COLUMNS, SETTING):
            group = members.setdefault(plain_extension(text_in(row, "group_id") or ""), [])
            if (extension := text_in(row, "extension")) is not None:
                group.append(Member(extension, flag_in(row, "available")))
        return {name: Observation(tuple(members[name])) if name in members else MISSING for name in group_ids}
