"""The queue listener of the local host against a real Azurite: leases, redelivery, poison queues, restarts."""

import threading
import time
from base64 import b64encode
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta

import pytest
from azure.core.exceptions import ResourceNotFoundError
from azure.storage.queue import QueueClient

from local import azurite
from local.host.queue import QueueListener
from local.host.settings import QueueSettings
from tests.support.waiting import wait_until

pytestmark = pytest.mark.skipif(azurite.find_entry() is None, reason="Azurite is not installed (see AZURITE_DIR)")


@pytest.fixture(scope="module")
def storage():
    with azurite.start() as storage:
        yield storage


@pytest.fixture
def queue(storage, request):
    """An empty queue of the test's own."""
    name = f"q{abs(hash(request.node.name))}"
    with QueueClient.from_connection_string(storage.connection_string, name) as queue:
        queue.create_queue()
        yield queue


class Deliveries:
    """A function that remembers its messages and does with each what the test says."""

    def __init__(self, act=lambda _: None):
        self.messages = []
        self._act = act

    def __call__(self, message):
        self.messages.append(message)
        return self._act(message)

    @property
    def counts(self):
        return [message.dequeue_count for message in self.messages]


def fail(_message):
    raise RuntimeError("told to fail")


def settings(**changes):
    values = {
        "batch_size": 4,
        "new_batch_threshold": 2,
        "max_dequeue_count": 2,
        "visibility_timeout": timedelta(0),
        "max_polling_interval": timedelta(milliseconds=200),
        "is_base64": True,
    }
    return QueueSettings(**(values | changes))


@contextmanager
def listening(storage, queue_name, run, *, lease=timedelta(minutes=10), **changes):
    with ThreadPoolExecutor(8) as pool:
        listener = QueueListener(
            queue_name, storage.connection_string, settings(**changes), run=run, submit=pool.submit, lease=lease
        )
        listener.start()
        try:
            yield
        finally:
            listener.stop()
            listener.join(10)
    listener.close()


def send(queue, text="hello"):
    return queue.send_message(b64encode(text.encode()).decode())


def stored(queue):
    """How many messages the queue holds, hidden ones included."""
    return queue.get_queue_properties().approximate_message_count


def poison_messages(storage, queue):
    name = f"{queue.queue_name}-poison"
    with QueueClient.from_connection_string(storage.connection_string, name) as poison:
        wait_until(lambda: exists(poison) and stored(poison))
        return list(poison.receive_messages(max_messages=10))


def exists(queue):
    try:
        queue.get_queue_properties()
    except ResourceNotFoundError:
        return False
    return True


def test_a_message_is_handed_over_decoded_with_its_properties_and_then_deleted(storage, queue):
    sent = send(queue, "grüezi")
    deliveries = Deliveries()
    with listening(storage, queue.queue_name, deliveries):
        wait_until(lambda: not stored(queue))
    (message,) = deliveries.messages
    assert message.get_body().decode() == "grüezi"
    assert (message.id, message.dequeue_count) == (sent.id, 1)
    assert message.insertion_time == sent.inserted_on
    assert message.expiration_time - message.insertion_time == timedelta(days=7)
    assert message.pop_receipt


def test_an_id_in_a_json_body_hides_the_id_of_the_message_as_in_azure(storage, queue):
    send(queue, '{"id": 42}')
    deliveries = Deliveries()
    with listening(storage, queue.queue_name, deliveries):
        wait_until(lambda: deliveries.messages)
    assert deliveries.messages[0].id == "42"


def test_without_encoding_the_text_is_the_body(storage, queue):
    queue.send_message("not base64!")
    deliveries = Deliveries()
    with listening(storage, queue.queue_name, deliveries, is_base64=False):
        wait_until(lambda: not stored(queue))
    assert deliveries.messages[0].get_body() == b"not base64!"


def test_a_failed_message_comes_back_after_the_visibility_timeout(storage, queue):
    send(queue)
    times = []

    def fail_once(message):
        times.append(time.monotonic())
        if message.dequeue_count == 1:
            fail(message)

    deliveries = Deliveries(fail_once)
    with listening(storage, queue.queue_name, deliveries, visibility_timeout=timedelta(seconds=1)):
        wait_until(lambda: not stored(queue))
    assert deliveries.counts == [1, 2]
    # Storage keeps whole seconds.
    assert times[1] - times[0] >= 0.9


def test_the_last_failure_moves_the_body_to_a_poison_queue_that_is_made_for_it(storage, queue):
    sent = send(queue, "bad")
    deliveries = Deliveries(fail)
    with listening(storage, queue.queue_name, deliveries, max_dequeue_count=3):
        (copy,) = poison_messages(storage, queue)
        wait_until(lambda: not stored(queue))
    assert deliveries.counts == [1, 2, 3]
    assert copy.content == b64encode(b"bad").decode()
    assert (copy.id != sent.id, copy.dequeue_count) == (True, 1)
    assert copy.expires_on - copy.inserted_on == timedelta(days=7)


def test_a_message_delivered_too_often_before_goes_to_poison_without_a_call(storage, queue):
    send(queue)
    for _ in range(2):
        received = queue.receive_message(visibility_timeout=60)
        queue.update_message(received.id, received.pop_receipt, visibility_timeout=0)
    deliveries = Deliveries()
    with listening(storage, queue.queue_name, deliveries, max_dequeue_count=2):
        assert len(poison_messages(storage, queue)) == 1
        wait_until(lambda: not stored(queue))
    assert deliveries.messages == []


def test_what_is_not_base64_goes_to_poison_as_it_is_without_a_call(storage, queue):
    queue.send_message('{"call": 1234}')
    deliveries = Deliveries()
    with listening(storage, queue.queue_name, deliveries):
        (copy,) = poison_messages(storage, queue)
        wait_until(lambda: not stored(queue))
    assert copy.content == '{"call": 1234}'
    assert deliveries.messages == []


def test_a_message_that_fails_in_a_poison_queue_stays_hidden_until_its_lease_ends(storage, caplog):
    times = []

    def note_and_fail(message):
        times.append(time.monotonic())
        fail(message)

    name = "failing-poison"
    deliveries = Deliveries(note_and_fail)
    with QueueClient.from_connection_string(storage.connection_string, name) as queue:
        queue.create_queue()
        send(queue)
        with listening(storage, name, deliveries, lease=timedelta(seconds=2), max_dequeue_count=2):
            wait_until(lambda: "There is no poison queue" in caplog.text)
        assert stored(queue) == 1
    assert deliveries.counts == [1, 2]
    assert times[1] - times[0] >= 1.9


def test_a_lease_is_renewed_while_the_function_runs(storage, queue):
    send(queue)
    deliveries = Deliveries(lambda _: time.sleep(3.5))
    with listening(storage, queue.queue_name, deliveries, lease=timedelta(seconds=2)):
        wait_until(lambda: not stored(queue))
    assert deliveries.counts == [1]


def test_no_more_run_at_once_than_batch_size_and_threshold_allow(storage, queue):
    lock = threading.Lock()
    running, seen = [], []

    def work(message):
        with lock:
            running.append(message)
            seen.append(len(running))
        # Unequal, or all of a batch would end at once and the threshold would never count.
        time.sleep(float(message.get_body()))
        with lock:
            running.remove(message)

    for index in range(12):
        send(queue, "0.1" if index % 2 else "0.4")
    with listening(storage, queue.queue_name, work, batch_size=2, new_batch_threshold=1):
        wait_until(lambda: not stored(queue))
    assert len(seen) == 12
    assert max(seen) == 3


def test_a_message_that_waits_for_a_thread_is_given_back_when_the_host_stops(storage, queue):
    send(queue)
    waiting = []
    listener = QueueListener(
        queue.queue_name,
        storage.connection_string,
        settings(),
        run=Deliveries(),
        submit=lambda job, leased: waiting.append((job, leased)),
        lease=timedelta(minutes=10),
    )
    listener.start()
    wait_until(lambda: waiting)
    listener.stop()
    listener.join(10)
    for job, leased in waiting:
        job(leased)
    listener.close()
    assert queue.receive_message().dequeue_count == 2


def test_a_queue_that_is_made_later_is_found(storage, caplog):
    deliveries = Deliveries()
    with (
        listening(storage, "made-later", deliveries),
        QueueClient.from_connection_string(storage.connection_string, "made-later") as queue,
    ):
        wait_until(lambda: "does not exist yet" in caplog.text)
        queue.create_queue()
        send(queue)
        wait_until(lambda: not stored(queue))
    assert deliveries.counts == [1]
    assert caplog.text.count("does not exist yet") == 1


def test_a_storage_that_restarts_is_waited_for(tmp_path, caplog):
    deliveries = Deliveries()
    first = azurite.start(tmp_path)
    with QueueClient.from_connection_string(first.connection_string, "calls") as queue:
        queue.create_queue()
        with listening(first, "calls", deliveries):
            send(queue, "before")
            wait_until(lambda: not stored(queue))
            first.stop()
            wait_until(lambda: "storage does not answer" in caplog.text)
            with azurite.start(tmp_path, first.ports):
                send(queue, "after")
                wait_until(lambda: len(deliveries.messages) == 2)
                wait_until(lambda: not stored(queue))
    assert [message.get_body() for message in deliveries.messages] == [b"before", b"after"]
