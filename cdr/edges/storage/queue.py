"""Queues of the storage account, as the Functions host reads them: Base64, and never to expire."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import timedelta
from typing import TYPE_CHECKING

from cdr.calls.message import Letter
from cdr.edges.storage.account import StorageAccount, translated
from shared import log
from shared.once import once

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

    def send_all(self, letters: Iterable[Letter]) -> None:
        with ThreadPoolExecutor(SENDERS) as pool:
            for _ in pool.map(self._send, letters):
                pass

    def send_later(self, letter: Letter, delay: timedelta) -> None:
        self._send(letter, int(delay.total_seconds()))

    def depth(self) -> int:
        with translated(f"queue {self._name}"):
            return self._client.get_queue_properties().approximate_message_count or 0

    def _send(self, letter: Letter, delay_s: int = 0) -> None:
        from azure.core.exceptions import ResourceNotFoundError

        text = letter.to_text()
        with translated(f"queue {self._name}"):
            try:
                self._client.send_message(text, visibility_timeout=delay_s, time_to_live=NEVER)
            except ResourceNotFoundError:
                # Somebody removed it while the app was running.
                self._make(self._client)
                log.event("storage.made_anew", level=logging.ERROR, what=f"queue {self._name}")
                self._client.send_message(text, visibility_timeout=delay_s, time_to_live=NEVER)

    @once
    def _client(self) -> QueueClient:
        client = self._account.queue_client(self._name)
        self._make(client)
        return client

    @staticmethod
    def _make(client: QueueClient) -> None:
        from azure.core.exceptions import ResourceExistsError

        with suppress(ResourceExistsError):
            client.create_queue()
