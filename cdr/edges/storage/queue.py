"""Queues of the storage account, as the Functions host reads them: Base64, and never to expire."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING

from cdr.edges.storage.account import StorageAccount, translated

if TYPE_CHECKING:
    from azure.storage.queue import QueueClient

NEVER = -1
SENDERS = 8
"""More threads gain little: the client's own work on a message is the limit."""


class StorageCallQueue:
    """A CallQueue on one storage queue, which is created if it is missing."""

    def __init__(self, account: StorageAccount, name: str) -> None:
        self._account = account
        self._name = name

    def send_all(self, messages: Sequence[str]) -> None:
        with translated(f"queue {self._name}"), ThreadPoolExecutor(SENDERS) as pool:
            for _ in pool.map(self._send, messages):
                pass

    def send_later(self, message: str, delay: timedelta) -> None:
        with translated(f"queue {self._name}"):
            self._client.send_message(message, visibility_timeout=int(delay.total_seconds()), time_to_live=NEVER)

    def depth(self) -> int:
        with translated(f"queue {self._name}"):
            return self._client.get_queue_properties().approximate_message_count or 0

    def _send(self, message: str) -> None:
        self._client.send_message(message, time_to_live=NEVER)

    @cached_property
    def _client(self) -> QueueClient:
        from azure.core.exceptions import ResourceExistsError

        client = self._account.queue_client(self._name)
        with suppress(ResourceExistsError):
            client.create_queue()
        return client
