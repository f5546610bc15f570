"""The queue listener of the local host against a real Azurite: leases, redelivery, poison queues, restarts."""

import threading
import time
from base64 import b64encode
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta

import pytest
from azure.core.exceptions import ResourceNotFoundError

from local import azurite
from local.host.queue import QueueListener
from local.host.settings import QueueSettings
from tests.support.ports import lasting_port
from tests.support.waiting import wait_until
from tests.systems.storage import Storage


@pytest.fixture
def queue(storage):
    """An empty queue of the test's own."""
    with storage.plain_queue(storage.new_name()) as queue:
        queue.create_queue()
        yield queue


class Deliveries:
    """A function that remembers its messages, and when they came, and does with each what the test says."""

    def __init__(self, act=lambda _: None):
        self.messages, self.times = [], []
        self._act = act

    def __call__(self, message):
        self.messages.append(message)
        self.times.append(time.monotonic())
        return self._act(message)

    @property
    def counts(self):
        return [message.dequeue_count for message in self.messages]


def fail(_message):
    raise RuntimeError("told to fail")


def listener_of(storage, name, run, submit, *, lease_s=600, is_binary=False, **changes):
    values = {
        "batch_size": 4,
        "new_batch_threshold": 2,
        "max_dequeue_count": 2,
        "visibility_timeout": timedelta(0),
        "max_polling_interval": timedelta(milliseconds=200),
        "is_base64": True,
    }
    settings, lease = QueueSettings(**(values | changes)), timedelta(seconds=lease_s)
    options = {"run": run, "submit": submit, "lease": lease, "is_binary": is_binary}
    return QueueListener(name, storage.connection_string, settings, **options)


@contextmanager
def listening(storage, name, run, **options):
    with ThreadPoolExecutor(8) as pool:
        listener = listener_of(storage, name, run, pool.submit, **options)
        listener.start()
        try:
            yield
        finally:
            listener.stop()
            listener.join(10)
    listener.close()


def send(queue, text="hello", **options):
    return queue.send_message(b64encode(text.encode()).decode(), **options)


def stored(queue):
    """How many messages the queue holds, hidden ones included; None where there is no queue."""
    try:
        return queue.get_queue_properties().approximate_message_count
    except ResourceNotFoundError:
        return None


def poison_message(storage, queue):
    with storage.plain_queue(f"{queue.queue_name}-poison") as poison:
        wait_until(lambda: stored(poison))
        (message,) = poison.receive_messages()
        return message


def test_of_a_function_that_takes_bytes_no_body_hides_the_messages_own_id(storage, queue):
    sent = queue.send_message('{"ID": 42, "dequeueCount": "many"}')
    deliveries = Deliveries()
    with listening(storage, queue.queue_name, deliveries, is_base64=False, is_binary=True):
        wait_until(lambda: not stored(queue))
    (message,) = deliveries.messages
    assert (message.id, message.dequeue_count) == (sent.id, 1)


@pytest.mark.parametrize(
    ("text", "is_base64", "id_seen"),
    [
        pytest.param("grüezi", True, None, id="base64"),
        pytest.param("not base64!", False, None, id="no encoding"),
        pytest.param('{"ID": 42}', True, "42", id="an id in a JSON body hides the message's own, as in Azure"),
    ],
)
def test_a_message_is_handed_over_with_its_properties_and_then_deleted(storage, queue, text, is_base64, id_seen):
    sent = send(queue, text) if is_base64 else queue.send_message(text)
    deliveries = Deliveries()
    with listening(storage, queue.queue_name, deliveries, is_base64=is_base64):
        wait_until(lambda: not stored(queue))
    (message,) = deliveries.messages
    assert message.get_body().decode() == text
    assert (message.id, message.dequeue_count, message.insertion_time) == (id_seen or sent.id, 1, sent.inserted_on)
    assert message.expiration_time - message.insertion_time == timedelta(days=7)
    assert message.pop_receipt


def test_a_failed_message_comes_back_after_a_while_and_then_moves_to_a_poison_queue_made_for_it(storage, queue):
    sent = send(queue, "bad")
    deliveries = Deliveries(fail)
    with listening(storage, queue.queue_name, deliveries, visibility_timeout=timedelta(seconds=1)):
        copy = poison_message(storage, queue)
        wait_until(lambda: not stored(queue))
    assert deliveries.counts == [1, 2]
    assert deliveries.times[1] - deliveries.times[0] >= 0.9  # storage keeps whole seconds
    assert copy.content == b64encode(b"bad").decode()
    assert (copy.id != sent.id, copy.dequeue_count) == (True, 1)
    assert copy.expires_on - copy.inserted_on == timedelta(days=7)


@pytest.mark.parametrize("content", ["aGVsbG8=", '{"call": 1234}'], ids=["delivered too often before", "no base64"])
def test_what_is_hopeless_goes_to_poison_as_it_is_without_a_call(storage, queue, content):
    queue.send_message(content)
    for _ in range(2 if content == "aGVsbG8=" else 0):
        received = queue.receive_message(visibility_timeout=60)
        queue.update_message(received.id, received.pop_receipt, visibility_timeout=0)
    deliveries = Deliveries()
    with listening(storage, queue.queue_name, deliveries):
        assert poison_message(storage, queue).content == content
        wait_until(lambda: not stored(queue))
    assert deliveries.messages == []


def test_a_message_that_fails_in_a_poison_queue_stays_hidden_until_its_lease_ends(storage, caplog):
    deliveries = Deliveries(fail)
    with storage.plain_queue("failing-poison") as queue:
        queue.create_queue()
        send(queue)
        with listening(storage, queue.queue_name, deliveries, lease_s=2):
            wait_until(lambda: "There is no poison queue" in caplog.text)
        assert stored(queue) == 1
    assert deliveries.counts == [1, 2]
    assert deliveries.times[1] - deliveries.times[0] >= 0.9  # two, but for what the first one took to begin


def test_a_lease_is_renewed_while_the_function_runs(storage, queue):
    """Which it does until a second message tells it that storage has counted four seconds."""
    later = threading.Event()
    deliveries = Deliveries(lambda message: later.set() if message.get_body() == b"later" else later.wait(60))
    send(queue, "first")
    send(queue, "later", visibility_timeout=4)
    with listening(storage, queue.queue_name, deliveries, lease_s=2):
        wait_until(lambda: not stored(queue))
    assert deliveries.counts == [1, 1]


def test_no_more_run_at_once_than_batch_size_and_threshold_allow(storage, queue):
    """Two at first; with one of them done, another two."""
    running, at_most = set(), []
    may_end = threading.Semaphore(0)

    def work(message):
        running.add(message)
        at_most.append(len(running))
        may_end.acquire(timeout=60)
        running.remove(message)

    for _ in range(9):
        send(queue)
    with listening(storage, queue.queue_name, work, batch_size=2, new_batch_threshold=1):
        for running_then in (2, 3):
            wait_until(lambda now=running_then: len(running) == now)
            may_end.release()
        may_end.release(9)
        wait_until(lambda: not stored(queue))
    assert (len(at_most), max(at_most)) == (9, 3)


def test_a_message_that_waits_for_a_thread_is_given_back_when_the_host_stops(storage, queue):
    send(queue)
    waiting = []
    listener = listener_of(storage, queue.queue_name, Deliveries(), lambda job, leased: waiting.append((job, leased)))
    listener.start()
    wait_until(lambda: waiting)
    listener.stop()
    listener.join(10)
    for job, leased in waiting:
        job(leased)
    listener.close()
    assert queue.receive_message().dequeue_count == 2


@pytest.mark.usefixtures("storage")  # or none is installed
def test_a_queue_that_is_made_later_and_a_storage_that_restarts_are_waited_for(tmp_path, caplog):
    deliveries = Deliveries()
    ports = azurite.Ports(lasting_port(), lasting_port(), lasting_port())
    first = azurite.start(tmp_path, ports)
    storage = Storage(first)
    with storage.plain_queue("calls") as queue, listening(storage, "calls", deliveries):
        wait_until(lambda: "does not exist yet" in caplog.text)
        queue.create_queue()
        send(queue, "before")
        wait_until(lambda: not stored(queue))
        first.stop()
        wait_until(lambda: "storage does not answer" in caplog.text)
        with azurite.start(tmp_path, ports):
            send(queue, "after")
            wait_until(lambda: len(deliveries.messages) == 2 and not stored(queue))
    assert [message.get_body() for message in deliveries.messages] == [b"before", b"after"]
    assert caplog.text.count("does not exist yet") == 1
