"""A transaction is written as the SDK itself writes it, but for the dates in its parts."""

from __future__ import annotations

import json
import math
import re
from datetime import UTC, datetime, timedelta, timezone
from typing import Any, NoReturn

import pytest
from azure.core import MatchConditions
from azure.core.pipeline.transport import HttpTransport
from azure.core.rest import HttpRequest, HttpResponse
from azure.data.tables import EdmType, EntityProperty, TableClient
from hypothesis import given, settings
from hypothesis import strategies as st

from cdr.edges.storage.transaction import JSON, Delete, Insert, Merge, Put, Write, look_at, request_of, request_of_all

URL = "http://127.0.0.1:9/acc"
SETTING = f"DefaultEndpointsProtocol=http;AccountName=acc;AccountKey=a2V5;TableEndpoint={URL}"


class Sent(Exception):
    """In place of an answer."""


class Listener(HttpTransport[HttpRequest, HttpResponse]):
    """Keeps the last request."""

    request: HttpRequest

    def send(self, request: HttpRequest, **_: Any) -> NoReturn:
        self.request = request
        raise Sent

    def open(self) -> None: ...
    def close(self) -> None: ...
    def __exit__(self, *_: object) -> None: ...


LISTENER = Listener()
SDK = TableClient.from_connection_string(SETTING, "Calls", transport=LISTENER)


def as_the_sdk_takes_it(write: Write) -> tuple[Any, ...]:
    unchanged = MatchConditions.IfNotModified
    match write:
        case Insert(entity):
            return "create", entity, {"response_preference": "return-no-content"}
        case Merge(entity, version):
            return "update", entity, {"etag": version, "match_condition": unchanged}
        case Put(entity):
            return "upsert", entity
        case Delete(entity, None):
            return "delete", entity
        case Delete(entity, version):
            return "delete", entity, {"etag": version, "match_condition": unchanged}


def by_the_sdk(writes: list[Write]) -> HttpRequest:
    with pytest.raises(Sent):
        SDK.submit_transaction([as_the_sdk_takes_it(write) for write in writes])
    return LISTENER.request


def alone_by_the_sdk(write: Write) -> HttpRequest:
    calls = {"create": SDK.create_entity, "update": SDK.update_entity, "upsert": SDK.upsert_entity}
    named, entity, *options = as_the_sdk_takes_it(write)
    with pytest.raises(Sent):
        calls[named](entity, **(options[0] if options else {}))
    return LISTENER.request


Said = tuple[str, dict[str, str], Any]


def parts_of(body: bytes, content_type: str) -> list[Said]:
    """The first line of each part's request, its headers without dates, its JSON."""
    batch = f"--{content_type.partition('boundary=')[2]}"
    begin, inner, end = body.decode("ascii").split(batch)
    assert (begin, end.strip()) == ("", "--")
    head, _, changes = inner.strip().partition("\r\n\r\n")
    boundary = head.removeprefix("Content-Type: multipart/mixed; boundary=")
    first, *parts, last = re.split(rf"^--{re.escape(boundary)}", changes, flags=re.MULTILINE)
    assert (first, last.strip()) == ("", "--")
    return [said_in(part) for part in parts]


def said_in(part: str) -> Said:
    kind, request, content = part.strip("\r\n").partition("\r\n\r\n")[0], *_request_in(part)
    line, *fields = request.split("\r\n")
    headers = dict(field.split(": ", 1) for field in [*kind.split("\r\n"), *fields])
    headers = {name: value for name, value in headers.items() if name not in ("Date", "x-ms-date")}
    if content:
        assert int(headers["Content-Length"]) == len(content)
    return line, headers, json.loads(content) if content else None


def _request_in(part: str) -> tuple[str, str]:
    _, request, content = part.lstrip("\r\n").split("\r\n\r\n", 2)
    return request, content.strip("\r\n")


KEYS = st.text(st.characters(exclude_categories=["Cs", "Cc"]) | st.sampled_from("'!é\U0001f600 +&=~"), min_size=1)
ZONES = st.sampled_from([UTC, timezone(timedelta(hours=-9)), timezone(timedelta(hours=5, minutes=45))])
VALUES = (
    st.none()
    | st.text()
    | st.booleans()
    | st.integers(-(2**31), 2**31 - 1)
    | st.datetimes(min_value=datetime(1601, 1, 2), timezones=ZONES)  # noqa: DTZ001 - it gets its zone
    | st.integers(-(2**63), 2**63 - 1).map(lambda n: EntityProperty(n, EdmType.INT64))
    | st.floats()
    | st.uuids()
    | st.binary(max_size=20)
)
ENTITIES = st.builds(
    lambda row, values: {**values, "PartitionKey": "2026-11-22 ü'", "RowKey": row},
    KEYS,
    st.dictionaries(st.sampled_from(["a", "b_0", "state", "counted"]), VALUES),
)
VERSIONS = st.sampled_from(["W/\"datetime'2026-11-22T10%3A00%3A00.1234567Z'\"", '"1"'])
WRITES = st.one_of(
    st.builds(Insert, ENTITIES),
    st.builds(Merge, ENTITIES, VERSIONS),
    st.builds(Put, ENTITIES),
    st.builds(Delete, ENTITIES, VERSIONS | st.none()),
)


ALWAYS = {"x-ms-version": SDK.api_version, "DataServiceVersion": "3.0"}


@given(st.lists(WRITES, min_size=1, max_size=4))
@settings(max_examples=60)
def test_each_write_is_said_as_the_sdk_says_it(writes: list[Write]) -> None:
    theirs = by_the_sdk(writes)
    ours = request_of_all(writes, f"{URL}/Calls", f"{SDK.url}/$batch", ALWAYS)
    assert (ours.method, ours.url) == (theirs.method, theirs.url)
    headers = {**ALWAYS, **ours.headers}
    kind = headers["Content-Type"]
    assert parts_of(ours.content.encode(), kind) == parts_of(theirs.content, theirs.headers["Content-Type"])
    assert {name: theirs.headers[name] for name in headers} | {"Content-Type": kind} == headers


@given(st.one_of(st.builds(Insert, ENTITIES), st.builds(Merge, ENTITIES, VERSIONS), st.builds(Put, ENTITIES)))
@settings(max_examples=60)
def test_a_write_by_itself_is_said_as_the_sdk_says_it(write: Write) -> None:
    theirs, ours = alone_by_the_sdk(write), request_of(write, f"{URL}/Calls")
    assert (ours.method, ours.url, json.loads(ours.content)) == (theirs.method, theirs.url, json.loads(theirs.content))
    headers = {**ALWAYS, **ours.headers}
    assert {name: theirs.headers[name] for name in headers} | JSON == headers


@given(KEYS)
@settings(max_examples=30)
def test_a_look_whether_there_is_an_entity_is_said_as_the_sdk_says_it(row: str) -> None:
    with pytest.raises(Sent):
        SDK.get_entity("2026-11-22 ü'", row, select=["RowKey"])
    theirs, ours = LISTENER.request, look_at("2026-11-22 ü'", row, f"{URL}/Calls")
    assert (ours.method, ours.url, ours.content) == (theirs.method, theirs.url, theirs.content or "")
    assert {name: theirs.headers[name] for name in ours.headers} == ours.headers


@pytest.mark.parametrize("value", [2**31, -(2**31) - 1, [], object(), math], ids=lambda value: type(value).__name__)
def test_what_the_service_has_no_type_for_is_refused_before_it_is_sent(value: Any) -> None:
    with pytest.raises(TypeError):
        request_of(Put({"PartitionKey": "a", "RowKey": "b", "value": value}), URL)


def test_a_moment_that_was_read_is_kept_to_its_last_digit() -> None:
    class Read(datetime):
        tables_service_value = "2026-11-22T10:00:00.1234567Z"

    moment = Read(2026, 11, 22, 10, tzinfo=UTC)
    said = request_of(Put({"PartitionKey": "a", "RowKey": "b", "at": moment}), URL).content
    assert '"at": "2026-11-22T10:00:00.1234567Z", "at@odata.type": "Edm.DateTime"' in said
