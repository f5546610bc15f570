"""The storage account as tests see it, and the line to it, which they can break."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from io import BytesIO
from typing import Any, Literal
from uuid import uuid4

import requests
from azure.data.tables import TableClient
from azure.storage.queue import QueueClient
from requests.adapters import HTTPAdapter

from cdr.edges.storage.account import SETTING, StorageAccount
from local.azurite import Azurite

Fault = Literal["sound", "not sent", "answer lost", "answered 503"]


class Storage:
    """A running Azurite. Tables and queues of different names know nothing of each other."""

    def __init__(self, azurite: Azurite) -> None:
        self.connection_string = azurite.connection_string
        self.account = StorageAccount({SETTING: azurite.connection_string})

    def new_name(self) -> str:
        """One that nobody has used before, good for a table and for a queue."""
        return f"t{uuid4().hex}"

    def plain_queue(self, name: str) -> QueueClient:
        """A client that neither writes nor reads Base64."""
        return QueueClient.from_connection_string(self.connection_string, name)

    def plain_table(self, name: str) -> TableClient:
        return TableClient.from_connection_string(self.connection_string, name)


class Line:
    """The line to storage: each fault befalls one of the next requests, in the order in which they are told."""

    def __init__(self, send: Callable[..., requests.Response]) -> None:
        self._send = send
        self._faults: deque[tuple[str, Fault]] = deque()

    def fail_next(self, method: str, *faults: Fault) -> None:
        """Let the next requests of this method have these faults. With one whose answer is lost, storage has done its
        work and nobody knows."""
        self._faults.extend((method, fault) for fault in faults)

    def forget(self) -> None:
        """Drop the faults that have not befallen a request yet."""
        self._faults.clear()

    @property
    def is_sound(self) -> bool:
        """Whether every fault has befallen a request by now."""
        return not self._faults

    def send(self, adapter: HTTPAdapter, request: requests.PreparedRequest, **options: Any) -> requests.Response:
        if not self._faults or self._faults[0][0] != request.method:
            return self._send(adapter, request, **options)
        _, fault = self._faults.popleft()
        if fault == "sound":
            return self._send(adapter, request, **options)
        if fault == "not sent":
            raise requests.ConnectionError("no route")
        response = self._send(adapter, request, **options)
        response.close()
        if fault == "answer lost":
            raise requests.ReadTimeout("no answer")
        busy = requests.Response()
        busy.status_code, busy.request, busy.raw = 503, request, BytesIO()
        return busy
