"""Queue triggers with the rules of Azure's queue listener: leases, redelivery, poison queues, limited concurrency.

- A received message is hidden from others by a lease, renewed at half time while its function runs.
- A failed message is shown again after `visibilityTimeout`, until its `maxDequeueCount`-th delivery fails: then it is
  moved to the poison queue, as is what cannot be decoded and what is delivered even more often.
- A queue that is itself a poison queue has none: a message that fails there stays hidden until its lease ends.
"""

from __future__ import annotations

import base64
import json
import logging
import random
import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import azure.functions as func
from azure.core.exceptions import AzureError, ResourceNotFoundError
from azure.core.pipeline.transport import RequestsTransport
from azure.functions import queue as functions_queue
from azure.storage.queue import ExponentialRetry, QueueClient, QueueMessage
from requests import Session
from requests.adapters import HTTPAdapter

from local.host.lease import LeasedMessage
from local.host.settings import QueueSettings

logger = logging.getLogger("local.host")

SHORTEST_PAUSE = timedelta(milliseconds=100)
# On a developer's machine the host looks this often, however long maxPollingInterval is.
LONGEST_PAUSE = timedelta(seconds=2)
LONGEST_QUEUE_NAME = 63


class Pauses:
    """Ever longer pauses, in seconds, between looks at an empty queue; each random by a fifth."""

    def __init__(self, longest: timedelta, rng: random.Random) -> None:
        self._longest_s = longest.total_seconds()
        self._rng = rng
        self.reset()

    def reset(self) -> None:
        self._next_s = SHORTEST_PAUSE.total_seconds()

    def next(self) -> float:
        pause = min(self._next_s * self._rng.uniform(0.8, 1.2), self._longest_s)
        self._next_s = min(self._next_s * 2, self._longest_s)
        return pause


def poison_queue_of(queue: str) -> str | None:
    """The name of the queue for what cannot be processed, or None where there is none."""
    poison = f"{queue}-poison"
    return None if queue.endswith("-poison") or len(poison) > LONGEST_QUEUE_NAME else poison


class QueueListener:
    """Hands the messages of one queue to `run`, each as a job given to `submit`; an exception is a failed delivery."""

    def __init__(
        self,
        queue: str,
        connection_string: str,
        settings: QueueSettings,
        *,
        run: Callable[[func.QueueMessage], object],
        submit: Callable[[Callable[[LeasedMessage], None], LeasedMessage], object],
        lease: timedelta,
        is_binary: bool = False,
    ) -> None:
        connections = settings.batch_size + settings.new_batch_threshold + 1
        poison = poison_queue_of(queue)
        self._queue = _client(queue, connection_string, connections)
        self._poison = _client(poison, connection_string, connections) if poison else None
        self._settings = settings
        self._run = run
        self._submit = submit
        self._lease = lease
        self._is_binary = is_binary
        self._pauses = Pauses(min(settings.max_polling_interval, LONGEST_PAUSE), random.Random())
        self._trouble: str | None = None
        self._leased: set[LeasedMessage] = set()
        self._is_stopping = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._listen, name=f"queue-{queue}", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Receive no more. Running deliveries go on; what still waits for a thread is given back to the queue."""
        with self._changed:
            self._is_stopping = True
            self._changed.notify_all()

    def join(self, seconds: float) -> None:
        """Wait until nothing more is received."""
        self._thread.join(seconds)

    def close(self) -> None:
        """Close the connections, once no delivery runs any more."""
        self._queue.close()
        if self._poison is not None:
            self._poison.close()

    def _listen(self) -> None:
        renewal_check_s = self._lease.total_seconds() / 10
        while not self._is_stopping:
            self._renew_leases()
            if not self._has_room():
                self._wait_for(self._has_room, renewal_check_s)
            elif messages := self._receive():
                self._pauses.reset()
                self._begin(messages)
            else:
                self._wait_for(lambda: False, min(self._pauses.next(), renewal_check_s))

    def _renew_leases(self) -> None:
        with self._changed:
            leased_now = list(self._leased)
        for leased in leased_now:
            leased.renew_if_due()

    def _has_room(self) -> bool:
        return len(self._leased) <= self._settings.new_batch_threshold

    def _wait_for(self, condition: Callable[[], bool], seconds: float) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._is_stopping or condition(), seconds)

    def _receive(self) -> list[QueueMessage]:
        """One batch, empty where there is none to be had; the reason is logged when it is a new one."""
        batch = self._settings.batch_size
        hidden_s = int(self._lease.total_seconds())
        messages: list[QueueMessage] = []
        trouble = None
        try:
            # This loop is the retry: the client's own would keep the thread from noticing that it should stop.
            pages = self._queue.receive_messages(messages_per_page=batch, visibility_timeout=hidden_s, retry_total=0)
            messages = list(next(pages.by_page(), ()))
        except ResourceNotFoundError:
            trouble = "it does not exist yet"
        except AzureError as exc:
            trouble = f"storage does not answer as it should ({type(exc).__name__})"
        self._tell(trouble)
        return messages

    def _tell(self, trouble: str | None) -> None:
        if trouble and trouble != self._trouble:
            logger.warning("Queue '%s': %s; trying again", self._queue.queue_name, trouble)
        elif self._trouble and not trouble:
            logger.info("Queue '%s': is there now", self._queue.queue_name)
        self._trouble = trouble

    def _begin(self, messages: list[QueueMessage]) -> None:
        for message in messages:
            leased = LeasedMessage(self._queue, message, self._lease)
            with self._changed:
                self._leased.add(leased)
            self._submit(self._deliver, leased)

    def _deliver(self, leased: LeasedMessage) -> None:
        try:
            self._run_and_settle(leased)
        except AzureError as exc:
            logger.warning(
                "Message %s could not be settled (%s): it comes back when its lease ends",
                *(leased.message.id, type(exc).__name__),
            )
        finally:
            with self._changed:
                self._leased.discard(leased)
                self._changed.notify_all()

    def _run_and_settle(self, leased: LeasedMessage) -> None:
        deliveries = leased.message.dequeue_count or 1
        message = _decoded(leased.message, is_base64=self._settings.is_base64, is_binary=self._is_binary)
        if self._is_stopping:
            leased.show_again_in(timedelta(0))
        elif message is None:
            self._give_up(leased, "Message is not base64, which host.json asks for")
        elif deliveries > self._settings.max_dequeue_count:
            self._give_up(leased, f"Message was delivered {deliveries} times already")
        elif self._succeeds(message):
            leased.delete()
        elif self._poison is None:
            leased.leave_hidden()
        elif deliveries >= self._settings.max_dequeue_count:
            self._give_up(leased, f"Message has reached MaxDequeueCount of {deliveries}")
        else:
            leased.show_again_in(self._settings.visibility_timeout)

    def _succeeds(self, message: func.QueueMessage) -> bool:
        try:
            self._run(message)
        except Exception:  # noqa: BLE001 - whatever a function raises is a failed delivery, logged by the invoker
            return False
        return True

    def _give_up(self, leased: LeasedMessage, reason: str) -> None:
        if self._poison is None:
            logger.warning("%s. There is no poison queue for '%s'", reason, self._queue.queue_name)
            leased.leave_hidden()
        else:
            logger.warning("%s. Moving it to queue '%s'", reason, self._poison.queue_name)
            leased.move_to(self._poison)


def _client(queue: str, connection_string: str, connections: int) -> QueueClient:
    session = Session()
    for scheme in ("http://", "https://"):
        session.mount(scheme, HTTPAdapter(pool_maxsize=connections))
    return QueueClient.from_connection_string(
        connection_string,
        queue,
        transport=RequestsTransport(session=session, connection_timeout=5, read_timeout=30),
        # Some seconds for a storage that restarts, but less than the host waits for running functions when it stops.
        retry_policy=ExponentialRetry(initial_backoff=1, increment_base=2, retry_total=2, random_jitter_range=1),
    )


def function_message(**fields: Any) -> func.QueueMessage:
    """A message as functions get it, with the properties of `azure.functions.queue.QueueMessage`."""
    untyped: Any = functions_queue.QueueMessage
    message: func.QueueMessage = untyped(**fields)
    return message


def _decoded(message: QueueMessage, *, is_base64: bool, is_binary: bool) -> func.QueueMessage | None:
    """What the function gets, or None where the text is not in the encoding of host.json."""
    text: str = message.content or ""
    try:
        body = base64.b64decode("".join(text.split()), validate=True) if is_base64 else text.encode()
    except ValueError:
        return None
    own_id = None if is_binary else _id_in(body)
    return function_message(
        id=own_id or message.id,
        body=body,
        dequeue_count=message.dequeue_count,
        expiration_time=message.expires_on,
        insertion_time=message.inserted_on,
        time_next_visible=message.next_visible_on,
        pop_receipt=message.pop_receipt,
    )


def _id_in(body: bytes) -> str | None:
    """The `id` of a JSON object: in Azure it replaces the message's own in what the function sees."""
    try:
        document: Any = json.loads(body)
    except (ValueError, RecursionError):
        return None
    fields = document if isinstance(document, dict) else {}
    return next((str(value) for name, value in fields.items() if name.lower() == "id"), None)
