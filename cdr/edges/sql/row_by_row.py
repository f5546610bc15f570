"""A page of rows of which one cannot be read: the others all the same, and of this one what can be.

Drivers and servers fail with a whole statement over one value of one row. So first only the ids of the page are asked
for, then halves of it until the row stands alone, then each of its columns.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from cdr.edges.sql.errors import Unconvertible

RawRow = Mapping[str, Any]

Id = TypeVar("Id")
Found = TypeVar("Found")

UNUSED = frozenset({"hangup_cause"})
"""Columns that no rule looks at."""


def readable_parts(
    ids: Sequence[Id],
    read: Callable[[Sequence[Id]], list[Found]],
    read_columns: Callable[[Id], Found],
) -> list[Found]:
    """Of the rows with these ids, which are in order.

    :param read: the rows with some of the ids, which are neighbours; raises Unconvertible
    :param read_columns: what can be read of one row, as column_by_column has it
    """
    if not ids:
        return []
    try:
        return read(ids)
    except Unconvertible:
        if ids[0] == ids[-1]:
            return [read_columns(ids[0])]
    middle = len(ids) // 2
    return [row for half in (ids[:middle], ids[middle:]) for row in readable_parts(half, read, read_columns)]


def column_by_column(row_id: Any, names: Mapping[str, str], read: Callable[[str], Any], *, key: str = "id") -> RawRow:
    """One row. What cannot be read of it is NULL, and where it matters the row's ``problem``.

    :param names: the columns as they are called here, with their names in the table
    :param key: the column of ``row_id``
    """
    row: dict[str, Any] = {key: row_id}
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
