"""The ceilings: nothing but the requests, over the SDKs as they come, and over bare connections."""

from __future__ import annotations

import http.client
import json
import threading
import time
from base64 import b64encode
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any, Protocol

import requests
from azure.core import MatchConditions
from azure.core.credentials import AzureNamedKeyCredential
from azure.data.tables import AccountSasPermissions as TablePermissions
from azure.data.tables import ResourceTypes as TableTypes
from azure.data.tables import TableClient, UpdateMode
from azure.data.tables import generate_account_sas as table_sas
from azure.storage.queue import AccountSasPermissions, QueueClient, ResourceTypes, generate_account_sas
from requests.adapters import HTTPAdapter

from tests.bench.lab import AT_ONCE, Account
from tests.faults.lab import KEY

SENDERS = 8
"""Threads that put messages, as the poll has them."""

TABLE, QUEUE = "loop", "loop"

BODY = {
    "pbxCallId": "0000017F-7",
    "phoneNumber": "19075550142",
    "duration": 90,
    "extension": "101",
    "email": "alice@example.com",
    "direction": "INBOUND",
    "endTime": "2026-11-22T10:01:30Z",
}
CLAIM = {"state": "claimed", "owner": "0123456789abcdef0123456789abcdef", "tries": 1, "row_0": json.dumps(BODY)}
SETTLED = {"state": "submitted", "reason": "created", "entry_id": "12345"}

_numbers = count(1)


class Requests(Protocol):
    """The requests of a call, one after the other, safe for many threads."""

    def put(self, text: str) -> None:
        """A message on the queue."""

    def submit(self) -> None:
        """A claim, the call itself, and what came of it."""

    def close(self) -> None: ...


def puts_a_second(loop: Requests, messages: int, text: str) -> float:
    """The loop is closed after it."""
    with closing(loop):
        return messages / _seconds(loop.put, [text] * messages, SENDERS)


def submits_a_second(loop: Requests, calls: int) -> float:
    """The loop is closed after it."""
    with closing(loop):
        return calls / _seconds(lambda _: loop.submit(), range(calls), AT_ONCE)


def _seconds(work: Callable[[Any], None], items: Sequence[Any], threads: int) -> float:
    with ThreadPoolExecutor(threads) as pool:
        began = time.perf_counter()
        for _ in pool.map(work, items):
            pass
        return time.perf_counter() - began


class OverTheSdks:
    """With the clients as their documentation makes them, and a session of requests for the Call Logger."""

    def __init__(self, account: Account, api_url: str) -> None:
        self._queue = QueueClient.from_connection_string(account.connection_string, QUEUE)
        self._queue.create_queue()
        self._table = TableClient.from_connection_string(account.connection_string, TABLE)
        self._table.create_table()
        self._url = f"{api_url}/calls/from-pbx"
        self._session = requests.Session()
        self._session.mount("http://", HTTPAdapter(pool_maxsize=AT_ONCE))

    def put(self, text: str) -> None:
        self._queue.send_message(b64encode(text.encode()).decode(), time_to_live=-1)

    def submit(self) -> None:
        key = {"PartitionKey": "2026-11-22", "RowKey": f"sdk-{next(_numbers)}"}
        claimed = self._table.create_entity({**key, **CLAIM, "at": datetime.now(UTC)})
        self._session.post(self._url, json=BODY, timeout=30).json()
        self._table.update_entity(
            {**key, **SETTLED, "at": datetime.now(UTC)},
            mode=UpdateMode.MERGE,
            etag=claimed["etag"],
            match_condition=MatchConditions.IfNotModified,
        )

    def close(self) -> None:
        for opened in (self._queue, self._table, self._session):
            opened.close()


class OverPlainHttp:
    """With http.client, a connection for each thread, and signatures that were made beforehand."""

    def __init__(self, account: Account, api_url: str) -> None:
        OverTheSdks(account, api_url).close()  # it made queue and table
        until = datetime.now(UTC) + timedelta(days=1)
        queue = generate_account_sas(
            account.name, KEY, ResourceTypes(object=True), AccountSasPermissions(add=True), until
        )
        allowed = TablePermissions(add=True, update=True)
        table = table_sas(AzureNamedKeyCredential(account.name, KEY), TableTypes(object=True), allowed, until)
        self._account, self._queue_sas, self._table_sas = account, queue, table
        self._api_port = int(api_url.rpartition(":")[2].partition("/")[0])
        self._own = threading.local()
        self._opened: list[http.client.HTTPConnection] = []

    def put(self, text: str) -> None:
        body = f"<QueueMessage><MessageText>{b64encode(text.encode()).decode()}</MessageText></QueueMessage>"
        path = f"/{self._account.name}/{QUEUE}/messages?messagettl=-1&{self._queue_sas}"
        self._ask(self._account.queue_port, "POST", path, body, {"Content-Type": "application/xml"})

    def submit(self) -> None:
        name = f"http-{next(_numbers)}"
        common = {"Content-Type": "application/json", "Accept": "application/json;odata=nometadata"}
        claim = json.dumps({"PartitionKey": "2026-11-22", "RowKey": name, **CLAIM})
        path = f"/{self._account.name}/{TABLE}?{self._table_sas}"
        port = self._account.table_port
        etag = self._ask(port, "POST", path, claim, {**common, "Prefer": "return-no-content"})
        self._ask(self._api_port, "POST", "/api/calls/from-pbx", json.dumps(BODY), common)
        path = f"/{self._account.name}/{TABLE}(PartitionKey='2026-11-22',RowKey='{name}')?{self._table_sas}"
        self._ask(port, "PATCH", path, json.dumps(SETTLED), {**common, "If-Match": etag})

    def close(self) -> None:
        for connection in self._opened:
            connection.close()

    def _ask(self, port: int, method: str, path: str, body: str, headers: dict[str, str]) -> str:
        """:returns: the answer's ETag"""
        connections = self._own.__dict__.setdefault("connections", {})
        if port not in connections:
            connections[port] = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
            self._opened.append(connections[port])
        connections[port].request(method, path, body, {**headers, "x-ms-version": "2019-02-02"})
        answer = connections[port].getresponse()
        said = answer.read()
        if answer.status >= 300:
            raise RuntimeError(f"{method} {path.partition('?')[0]}: {answer.status} {said[:300]!r}")
        return answer.headers.get("ETag", "")
