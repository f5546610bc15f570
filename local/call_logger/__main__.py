"""Serves until Ctrl-C; the line `Call Logger stand-in ready on ADDRESS` says where."""

import argparse
import sys

from local.call_logger.server import Credential, start
from local.stop_signals import stop_event


def api_key(text: str) -> Credential:
    header, equals, key = text.partition("=")
    if not (header and equals and key):
        raise argparse.ArgumentTypeError("expected HEADER=KEY")
    return Credential(header, key)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m local.call_logger", description="A stand-in for the Call Logger.")
    parser.add_argument("--port", type=int, default=8080)
    credential = parser.add_mutually_exclusive_group()
    credential.add_argument("--bearer", dest="credential", type=Credential.bearer, metavar="TOKEN")
    credential.add_argument("--api-key", dest="credential", type=api_key, metavar="HEADER=KEY")
    parser.add_argument("--race-window", type=float, default=0.0, metavar="MS")
    options = parser.parse_args()
    stop = stop_event()
    try:
        running = start(options.port, credential=options.credential, race_window_s=options.race_window / 1000)
    except (OSError, OverflowError) as exc:  # taken or forbidden, or no port number at all
        sys.exit(f"The Call Logger stand-in cannot listen on port {options.port}: {exc}")
    with running:
        print(f"Call Logger stand-in ready on {running.base_url}", flush=True)
        while not stop.wait(0.2):  # in short waits, because on Windows a signal does not end a long one
            pass


if __name__ == "__main__":
    main()
