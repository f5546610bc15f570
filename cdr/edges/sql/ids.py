"""Ids that are whole numbers, and many of them in few statements: single ones in lists, wide ranges as ranges."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from decimal import Decimal
from typing import Any

from sqlalchemy import ColumnElement, Select, func, literal, literal_column, select

from cdr.intake.id_order.position import Range
from cdr.intake.id_order.table import Row
from shared import log
from shared.errors import SourceMisconfigured

WIDE = 8
"""From so many ids on a range is asked for as one; a shorter one as its ids."""

IDS_A_STATEMENT = 900
"""MariaDB makes a table of its own of lists from 1,000 on, and reads ours without an index."""

RANGES_A_STATEMENT = 200
"""Every one is a branch of its own to a planner."""

PARAMETERS_BELOW = 2**63

EXACT_FLOATS = 2**53


def whole_number(value: Any, column: str, way_out: str) -> int:
    """Text is refused even where it is made of digits: in its order 10 comes before 9, and paging would lose rows.

    :param column: what the error names, with its setting
    """
    if type(value) is int or (isinstance(value, Decimal) and value.is_finite() and value == value.to_integral_value()):
        return int(value)
    if isinstance(value, float) and value.is_integer() and abs(value) <= EXACT_FLOATS:
        return int(value)
    held = log.mask_numbers(str(value)[:40])  # the schema may have taken the caller's number for the id
    raise SourceMisconfigured(f"{column} must be a whole number, it holds {held!r}; {way_out}")


def beyond(ids: ColumnElement[Any], after: int | None) -> ColumnElement[bool]:
    """Without a bound too, a row must have an id: of what has none nobody could say how far it was read."""
    return ids.is_not(None) if after is None else ids > id_value(after)


def counted(ids: ColumnElement[Any], first: int, last: int) -> Select[Any]:
    """How many there are from the first to the last; copies of a row count once."""
    return select(func.count(ids.distinct())).where(ids.between(id_value(first), id_value(last)))


def without(ids: ColumnElement[Any], most: int, *conditions: ColumnElement[bool]) -> Select[Any]:
    """How many rows have none, counted up to so many."""
    some = select(literal(1).label("one")).where(ids.is_(None), *conditions).limit(most).subquery("nameless")
    return select(func.count()).select_from(some)


def id_value(row_id: int) -> int | ColumnElement[int]:
    """For a comparison: as a parameter, or as it is written where drivers take it for no whole number of theirs."""
    return row_id if abs(row_id) < PARAMETERS_BELOW else literal_column(str(row_id))


def rows_among(
    column: ColumnElement[Any],
    ranges: Sequence[Range],
    after: int | None,
    limit: int,
    read: Callable[[ColumnElement[bool], int], list[Row]],
) -> list[Row]:
    """Up to ``limit`` rows whose id lies in one of the ranges (ascending) and beyond ``after``, in order of id."""
    rows: list[Row] = []
    for some in _statements_of(ranges, after):
        left = limit - len(rows)
        found = [row for condition in _is_in(column, some) for row in read(condition, left)]
        rows += sorted(found, key=lambda row: row.id)[:left]
        if len(rows) >= limit:
            break
    return rows


def _statements_of(ranges: Sequence[Range], after: int | None) -> Iterator[list[Range]]:
    """What is left of the ranges (ascending) beyond an id, in the order of ids, as much at a time as one statement may
    ask for."""
    some: list[Range] = []
    single = wide = 0
    for first, last in ranges:
        span = (first if after is None else max(first, after + 1), last)
        if span[0] > last:
            continue
        some.append(span)
        if _is_wide(span):
            wide += 1
        else:
            single += 1 + last - span[0]
        if single >= IDS_A_STATEMENT or wide == RANGES_A_STATEMENT:
            yield some
            some, single, wide = [], 0, 0
    if some:
        yield some


def _is_wide(span: Range) -> bool:
    return span[1] - span[0] >= WIDE


def _is_in(column: ColumnElement[Any], ranges: Sequence[Range]) -> list[ColumnElement[bool]]:
    """Whether an id is in one of them: a condition for the single ones and one for the others, each for a statement of
    its own, because a planner that meets both in one may prefer to read the whole table.

    The numbers stand in the statement itself: of parameters some engines take 2,100, and making a thousand of them
    takes longer than the query.
    """
    name = str(column)
    single = ", ".join(str(one) for span in ranges if not _is_wide(span) for one in range(span[0], span[1] + 1))
    wide = " OR ".join(f"{name} BETWEEN {first} AND {last}" for first, last in filter(_is_wide, ranges))
    conditions = (f"{name} IN ({single})" if single else "", f"({wide})" if wide else "")
    return [literal_column(condition) for condition in conditions if condition]
