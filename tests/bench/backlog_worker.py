"""A worker's process with a backlog, and nothing else in it: it polls until caught up, then submits sixteen at once.

python -m tests.bench.backlog_worker     prints how many MiB it has before the first poll, and at the end
"""

from __future__ import annotations

import sys
from collections.abc import Iterator

AT_ONCE = 16


def resident_mib() -> float:
    """What is in memory; where the system does not tell that, the most that ever was."""
    try:
        with open("/proc/self/status", encoding="ascii") as file:  # noqa: PTH123 - pathlib would be in it too
            return next(int(line.split()[1]) for line in file if line.startswith("VmRSS")) / 1024
    except OSError:
        import resource

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    import function_app

    before = resident_mib()
    from concurrent.futures import ThreadPoolExecutor

    from azure.functions.queue import QueueMessage

    declared = {item.get_function_name(): item.get_user_function() for item in function_app.app.get_functions()}
    parts = function_app.parts
    from cdr.intake.poll import poll

    while not poll(parts.poller).caught_up:
        pass
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for page in _pages(parts.environment["AzureWebJobsStorage"], function_app.CALL_QUEUE):
            messages = [QueueMessage(id="1b7c", body=body, dequeue_count=1, pop_receipt="A") for body in page]
            for _ in pool.map(lambda message: declared["submit_call"](message=message), messages):
                pass
    sys.stdout.write(f"{before:.1f} {resident_mib():.1f}\n")


def _pages(connection_string: str, queue: str) -> Iterator[list[bytes]]:
    """The queue's messages, which stay there unseen."""
    from azure.storage.queue import QueueClient

    with QueueClient.from_connection_string(connection_string, queue) as client:
        for page in client.receive_messages(messages_per_page=32, visibility_timeout=3_600).by_page():
            yield [message.content.encode() for message in page]


if __name__ == "__main__":
    main()
