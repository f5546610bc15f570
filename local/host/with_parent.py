"""`local.host` as a child process: it ends in order when its standard input does, so also when its parent is killed."""

from __future__ import annotations

import os
import signal
import sys
import threading

from local.host.host import main


def end_with_standard_input() -> None:
    # Past Python's own buffer: its lock, held by a thread that still waits, would break the end of the interpreter.
    while os.read(0, 1024):
        pass
    signal.raise_signal(signal.SIGTERM)


if __name__ == "__main__":
    threading.Thread(target=end_with_standard_input, name="parent", daemon=True).start()
    sys.exit(main())
