"""A page of rows of which one cannot be read: the others all the same, and of this one what can be.

Drivers and servers fail with a whole statement over one value of one row. So first only the ids of the page are asked
for, then halves of it until the row stands alone, then each of its columns.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from cdr.edges.sql.errors import Unconvertible

RawRow = Mapping[str, Any]

UNUSED = frozenset({"hangup_cause"})
"""Columns that no rule looks at."""


def readable_parts(
    ids: Sequence[int],
    read: Callable[[int, int], list[RawRow]],
    read_columns: Callable[[int], RawRow],
) -> list[RawRow]:
    """Of the rows with these ids, which are in order.

    :param read: the rows from one id to another; raises Unconvertible
    :param read_columns: what can be read of one row, as column_by_column has it
    """
    if not ids:
        return []
    try:
        return read(ids[0], ids[-1])
    except Unconvertible:
        if ids[0] == ids[-1]:
            return [read_columns(ids[0])]
    middle = len(ids) // 2
    return [row for half in (ids[:middle], ids[middle:]) for row in readable_parts(half, read, read_columns)]


def column_by_column(row_id: int, names: Mapping[str, str], read: Callable[[str], Any]) -> RawRow:
    """One row. What cannot be read of it is NULL, and where it matters the row's ``problem``.

    :param names: canonical columns, with their names in the table
    """
    row: dict[str, Any] = {"id": row_id}
    problems: list[str] = []
    for name in names.keys() - row.keys():
        try:
            row[name] = read(names[name])
        except Unconvertible as exc:
            row[name] = None
            if name not in UNUSED:
                problems.append(f"{name} cannot be read from the database: {exc.words}")
    if problems:
        row["problem"] = "; ".join(sorted(problems))
    return row
