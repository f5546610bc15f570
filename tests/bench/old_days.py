"""Months of a ledger in seconds: the emulator's own file gets more days like those that the product wrote.

To fill the emulator by requests takes a time that grows with the square of what is in it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection
from datetime import date, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

from cdr.calls.call import CallKey
from cdr.edges.storage.ledger_tally import DAYS
from cdr.edges.storage.rejected_index import NOTES, index_of
from cdr.operations.ports import RejectedCall

TABLES = "__azurite_db_table__.json"
"""In the folder of the emulator's data; it is written when the emulator is stopped."""

Entity = dict[str, Any]
"""As the emulator keeps it: its keys stand beside its properties too."""

_DAY = re.compile(r"\b\d{4}-\d\d-\d\d(?=T|\b)")


def add_days_before(data: Path, account: str, ledger: str, times: int) -> None:
    """All records of the ledger so many times more, each time a day earlier, with their counters and notes."""
    file = data / TABLES
    database = json.loads(file.read_text("utf-8"))
    tables = {table["name"]: table for table in database["collections"]}
    _add(tables[f"{account}${ledger}"], times)
    _add(tables[f"{account}${index_of(ledger)}"], times, {DAYS, NOTES})
    file.write_text(json.dumps(database), encoding="utf-8")


def _add(table: dict[str, Any], times: int, partitions: Collection[str] = ()) -> None:
    """``partitions``: nothing else is copied."""
    entities: list[Entity] = table["data"]
    chosen = [json.dumps(each) for each in entities if not partitions or each["PartitionKey"] in partitions]
    entities += (_earlier(text, days) for days in range(1, times + 1) for text in chosen)
    for number, entity in enumerate(entities, 1):
        entity["$loki"] = number
    table["maxId"], table["idIndex"] = len(entities), None
    for key, index in table["binaryIndices"].items():
        in_order = sorted((entity[key], position) for position, entity in enumerate(entities))
        index["values"] = [position for _, position in in_order]


def _earlier(text: str, days: int) -> Entity:
    entity: Entity = json.loads(_DAY.sub(lambda day: _before(day.group(), days), text))
    if entity["PartitionKey"] == NOTES:
        told = entity["properties"]
        settled_at = datetime.fromisoformat(told["rejected_at"])
        call = RejectedCall(CallKey(told["day"], told["name"]), told["reason"], told["detail"], settled_at, None)
        order = entity["RowKey"].rpartition(" ")[0]
        entity["RowKey"] = told["RowKey"] = f"{order} {call.place}"
    return entity


@cache
def _before(day: str, days: int) -> str:
    return (date.fromisoformat(day) - timedelta(days=days)).isoformat()
