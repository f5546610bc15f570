"""Ctrl-C and a termination request, as an event that a loop can wait on."""

import signal
import threading


def stop_event() -> threading.Event:
    """An event that SIGINT and SIGTERM set from now on. Only the main thread may call this."""
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    return stop
