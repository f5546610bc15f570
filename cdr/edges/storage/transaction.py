"""Writes as the table service takes them: one by itself, or those to one partition that are done all or not at all.

The SDK puts a transaction together by way of the standard library's e-mail, with two pools of threads for each: that
takes longer than all the rest of it. What is written here is the same, but for dates, which the parts need not have.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from json import JSONEncoder
from math import isfinite, isnan
from typing import Any
from urllib.parse import quote
from uuid import UUID

MIXED = "multipart/mixed; boundary="
BATCH, CHANGES = "batch_of_writes", "changes_of_writes"
"""Of each part only one line is not ours, JSON in ASCII, and no line of JSON begins with a dash."""

ALL_METADATA = "application/json"
LITTLE_METADATA = "application/json;odata=minimalmetadata"
JSON = {"Content-Type": "application/json"}

_json = JSONEncoder().encode


@dataclass(frozen=True, slots=True)
class Insert:
    """A new entity; refused where there is one."""

    entity: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Merge:
    """Some properties of an entity; refused where it has not the version any more, or is gone."""

    entity: Mapping[str, Any]
    version: str


@dataclass(frozen=True, slots=True)
class Put:
    """Some properties of an entity, or a new one, whatever is there."""

    entity: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Delete:
    """Away with an entity; refused where it has not the version any more (None: any one), or is gone."""

    entity: Mapping[str, Any]
    version: str | None


Write = Insert | Merge | Put | Delete


@dataclass(frozen=True, slots=True)
class Request:
    """As HTTP has it; but for the headers that are the same for all."""

    method: str
    url: str
    headers: Mapping[str, str]
    content: str
    """ASCII."""


def request_of(write: Write, table_url: str) -> Request:
    """What asks for this one write alone.

    :raises TypeError: the entity has a value of a type that the service does not know
    :raises UnicodeEncodeError: a key has half a surrogate pair, which no URL can hold
    """
    match write:
        case Insert(entity):
            told = {**JSON, "Prefer": "return-no-content", "Accept": LITTLE_METADATA}
            return Request("POST", table_url, told, _text(entity))
        case Merge(entity, version):
            told = {**JSON, "Accept": ALL_METADATA, "If-Match": version}
            return Request("PATCH", _address(table_url, entity), told, _text(entity))
        case Put(entity):
            return Request("PATCH", _address(table_url, entity), {**JSON, "Accept": ALL_METADATA}, _text(entity))
        case Delete(entity, version):
            told = {"Accept": LITTLE_METADATA, "If-Match": "*" if version is None else version}
            return Request("DELETE", _address(table_url, entity), told, "")


def look_at(partition: str, row: str, table_url: str) -> Request:
    """What asks for one entity, and of that for no more than its key."""
    address = _address(table_url, {"PartitionKey": partition, "RowKey": row})
    return Request("GET", f"{address}?$select=RowKey", {"Accept": LITTLE_METADATA}, "")


def request_of_all(writes: Sequence[Write], table_url: str, batch_url: str, always: Mapping[str, str]) -> Request:
    """What asks for all of them together.

    :param always: headers that each of them has
    """
    parts = [
        f"--{CHANGES}\r\nContent-Type: application/http\r\nContent-Transfer-Encoding: binary\r\nContent-ID: {number}"
        f"\r\n\r\n{_said(request_of(write, table_url), always)}\r\n"
        for number, write in enumerate(writes)
    ]
    begin = f"--{BATCH}\r\nContent-Type: {MIXED}{CHANGES}\r\n\r\n"
    content = f"{begin}{''.join(parts)}--{CHANGES}--\r\n\r\n--{BATCH}--\r\n"
    told = {"MaxDataServiceVersion": "3.0;NetFx", "Content-Type": f"{MIXED}{BATCH}", "Accept": ALL_METADATA}
    return Request("POST", batch_url, told, content)


def _said(request: Request, always: Mapping[str, str]) -> str:
    length = {"Content-Length": str(len(request.content))} if request.content else {}
    told = "\r\n".join(f"{name}: {value}" for name, value in {**always, **request.headers, **length}.items())
    return f"{request.method} {request.url} HTTP/1.1\r\n{told}\r\n\r\n{request.content}"


def _text(entity: Mapping[str, Any]) -> str:
    return _json(properties(entity))


def _address(table_url: str, entity: Mapping[str, Any]) -> str:
    partition, row = (quote(entity[key].replace("'", "''"), safe="") for key in ("PartitionKey", "RowKey"))
    return f"{table_url}(PartitionKey='{partition}',RowKey='{row}')"


def properties(entity: Mapping[str, Any]) -> dict[str, Any]:
    """Each with its type, where its JSON does not say that; what is None is left out."""
    written: dict[str, Any] = {}
    for name, value in entity.items():
        if value is None:
            continue
        kind, written[name] = _typed(value)
        if kind is not None:
            written[f"{name}@odata.type"] = f"Edm.{kind}"
    return written


def _typed(value: Any) -> tuple[str | None, Any]:
    match value:
        case str():
            return "String", str(value)
        case bool():
            return None, value
        case int():
            if not -(2**31) <= value < 2**31:
                raise TypeError(f"{value} has more than 32 bits")
            return None, value
        case datetime():
            # One that was read may be finer than a datetime is; the SDK keeps it as it came.
            return "DateTime", getattr(value, "tables_service_value", None) or _in_utc(value)
        case _:
            return _typed_of_others(value)


def _typed_of_others(value: Any) -> tuple[str, Any]:
    """Nothing of ours has such values; but what somebody else has put beside it is kept where an entity is copied."""
    match value:
        case (int() as number, _):  # as the SDK reads one of 64 bits, with the name of its type
            return "Int64", str(number)
        case float():
            named = "NaN" if isnan(value) else "Infinity" if value > 0 else "-Infinity"
            return "Double", value if isfinite(value) else named
        case UUID():
            return "Guid", str(value)
        case bytes():
            return "Binary", b64encode(value).decode()
    raise TypeError(f"the table service has no type for {type(value).__name__}")


def _in_utc(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
