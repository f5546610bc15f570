"""Rows of a table by their names: those that there are, in few requests, whatever lies between them."""

from __future__ import annotations

import pytest

from cdr.edges.storage.table import Insert, Table
from tests.systems.storage import Storage


@pytest.mark.parametrize(
    ("between", "step", "at_most"),
    [(40, 1, 1), (99, 3, 1), (250, 9, 4), (250, 50, 1)],
    ids=["little", "as much as is taken", "much", "much, and few names"],
)
def test_rows_are_found_by_their_names(storage: Storage, between: int, step: int, at_most: int) -> None:
    table, requests = Table(storage.account, storage.new_name()), list[int]()
    there = [f"r{number:04}" for number in range(between)]
    for start in range(0, between, 100):
        table.write([Insert({"PartitionKey": "p", "RowKey": row}) for row in there[start : start + 100]])
    wanted = {*there[::step], "r", "r0001-none", "z"}
    storage.line.hear(lambda: requests.append(1))
    assert table.named("p", wanted, ["RowKey"]).keys() == wanted & {*there}
    storage.line.hear(None)
    assert len(requests) <= at_most
