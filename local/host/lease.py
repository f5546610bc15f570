"""A received queue message, hidden from other receivers while its lease is renewed, until it is settled."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

from azure.core.exceptions import AzureError, ResourceExistsError, ResourceNotFoundError
from azure.storage.queue import QueueClient, QueueMessage

logger = logging.getLogger("local.host")

POISON_LIFE = timedelta(days=7)


class LeasedMessage:
    """Settled once: deleted, shown again, moved or left to its lease, each of which may raise AzureError."""

    def __init__(self, queue: QueueClient, message: QueueMessage, lease: timedelta) -> None:
        self.message = message
        self._queue = queue
        self._lease_s = lease.total_seconds()
        self._pop_receipt = message.pop_receipt
        self._renew_at = time.monotonic() + self._lease_s / 2
        self._is_settled = False
        # A renewal changes the pop receipt; settling with the old one would fail.
        self._lock = threading.Lock()

    def renew_if_due(self) -> None:
        """Renew at half time; after an error at every tenth of the lease."""
        with self._lock:
            if self._is_settled or time.monotonic() < self._renew_at:
                return
            try:
                self._hide(self._lease_s)
                self._renew_at = time.monotonic() + self._lease_s / 2
            except AzureError as exc:
                self._renew_at = time.monotonic() + self._lease_s / 10
                logger.warning("Message %s: its lease was not renewed (%s)", self.message.id, type(exc).__name__)

    def delete(self) -> None:
        with self._settling():
            self._queue.delete_message(self.message.id, self._pop_receipt)

    def show_again_in(self, delay: timedelta) -> None:
        with self._settling():
            self._hide(delay.total_seconds())

    def move_to(self, poison: QueueClient) -> None:
        """Copy the body as it is, creating the queue if it is missing, then delete the original."""
        with self._settling():
            _send_or_create(poison, self.message.content)
            self._queue.delete_message(self.message.id, self._pop_receipt)

    def leave_hidden(self) -> None:
        """Until the lease ends by itself."""
        with self._settling():
            pass

    @contextmanager
    def _settling(self) -> Iterator[None]:
        with self._lock:
            self._is_settled = True
            yield

    def _hide(self, seconds: float) -> None:
        renewed = self._queue.update_message(self.message.id, self._pop_receipt, visibility_timeout=int(seconds))
        self._pop_receipt = renewed.pop_receipt


def _send_or_create(queue: QueueClient, content: str) -> None:
    life_s = int(POISON_LIFE.total_seconds())
    try:
        queue.send_message(content, time_to_live=life_s)
    except ResourceNotFoundError:
        try:
            queue.create_queue()
        except ResourceExistsError:
            logger.debug("Queue %s was created by another job meanwhile", queue.queue_name)
        queue.send_message(content, time_to_live=life_s)
