"""The storage account as tests see it, and the line to it, which they can break."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any, Literal
from uuid import uuid4

from azure.core.exceptions import ServiceRequestError, ServiceResponseTimeoutError
from azure.core.rest import HttpRequest, HttpResponse
from azure.data.tables import TableClient
from azure.storage.queue import QueueClient
from urllib3 import HTTPHeaderDict

from cdr.edges.azure_answer import AzureAnswer
from cdr.edges.azure_transport import AzureTransport
from cdr.edges.storage.account import SETTING, USUAL, StorageAccount, StoragePatience
from local.azurite import Azurite

Fault = Literal["sound", "not sent", "answer lost", "answered 503"]

AT_ONCE = StoragePatience(pause_s=0)
"""Second tries follow without a pause."""
NEVER_AGAIN = StoragePatience(retries=0)


class Line(AzureTransport):
    """The line to storage: each fault befalls the next request of its method, in the order in which they are told."""

    def __init__(self) -> None:
        super().__init__(connect_s=USUAL.connect_s, answer_s=USUAL.answer_s)
        self._faults: deque[tuple[str, Fault | Callable[[], object]]] = deque()
        self._heard: Callable[[], object] | None = None

    def hear(self, told: Callable[[], object] | None) -> None:
        """Let somebody be told of each request; None: nobody any more."""
        self._heard = told

    def fail_next(self, method: str, *faults: Fault) -> None:
        """Let the next requests of this method have these faults. With one whose answer is lost, storage has done its
        work and nobody knows."""
        self._faults.extend((method, fault) for fault in faults)

    def interrupt_next(self, method: str, action: Callable[[], object]) -> None:
        """Let something happen right before the next request of this method goes out."""
        self._faults.append((method, action))

    def forget(self) -> None:
        """Drop the faults that have not befallen a request yet."""
        self._faults.clear()

    @property
    def outstanding(self) -> int:
        """How many faults have not befallen a request yet."""
        return len(self._faults)

    @property
    def is_sound(self) -> bool:
        """Whether every fault has befallen a request by now."""
        return not self._faults

    def send(self, request: HttpRequest, **options: Any) -> HttpResponse:
        if self._heard is not None:
            self._heard()
        fault = self._next_of(request.method)
        if callable(fault):
            fault()
        if fault == "not sent":
            raise ServiceRequestError("no route")
        answer = super().send(request, **options)
        if fault == "answer lost":
            raise ServiceResponseTimeoutError("no answer")
        return AzureAnswer(request, 503, "", HTTPHeaderDict(), b"") if fault == "answered 503" else answer

    def _next_of(self, method: str | None) -> Fault | Callable[[], object]:
        for told in self._faults:
            if told[0] == method:
                self._faults.remove(told)
                return told[1]
        return "sound"


class Storage:
    """A running Azurite. Tables and queues of different names know nothing of each other."""

    def __init__(self, azurite: Azurite) -> None:
        self.connection_string = azurite.connection_string
        self.line = Line()
        self.account = self.account_with(AT_ONCE)

    def account_with(self, patience: StoragePatience) -> StorageAccount:
        return StorageAccount({SETTING: self.connection_string}, patience, self.line)

    def new_name(self) -> str:
        """One that nobody has used before, good for a table and for a queue."""
        return f"t{uuid4().hex}"

    def plain_queue(self, name: str) -> QueueClient:
        """A client that neither writes nor reads Base64."""
        return QueueClient.from_connection_string(self.connection_string, name)

    def plain_table(self, name: str) -> TableClient:
        return TableClient.from_connection_string(self.connection_string, name)
