"""Everything that the functions let out: log lines of every logger with their tracebacks, and HTTP answers."""

from __future__ import annotations

import logging
import re
import traceback
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from urllib.parse import quote, quote_plus

from cdr.calls.message import Letter
from tests.functions.loaded_app import LoadedApp
from tests.functions.surroundings import Storage

OF_THE_TESTS = ("werkzeug", "asyncio", "faker")
"""Loggers of the stand-ins, which run in the same process."""

DAY = {"from": "2026-11-22", "to": "2026-11-22"}
REQUESTS: Sequence[tuple[str, str, dict[str, Any]]] = (
    ("health", "GET", {}),
    ("status", "GET", {}),
    ("trigger_poll", "POST", {}),
    ("trigger_alerts", "POST", {}),
    ("rejected", "GET", {"limit": "500"}),
    ("preview", "GET", {"limit": "200"}),
    ("reconcile", "GET", DAY),
    ("trigger_reconcile", "POST", DAY),
    ("trigger_replay", "POST", {"reason": "nothing"}),
    ("trigger_replay", "POST", {"all": "perhaps"}),
    ("rejected", "GET", {"limit": "none"}),
    ("health", "POST", {}),
)


class Collected(logging.Handler):
    """Takes part as a log handler of the root."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.texts: list[str] = []
        self.statuses: list[int] = []

    def emit(self, record: logging.LogRecord) -> None:
        if not record.name.startswith(OF_THE_TESTS):
            self.texts.append(logging.Formatter("%(name)s %(message)s").format(record))

    def run(self, app: LoadedApp, storage: Storage | None) -> None:
        """Everything that a host has the functions do. What they raise it would write to the log."""
        ticks = ("poll_cdr", "check_call_groups", "clean_ledger")
        for function in ticks:
            self._try(app.tick, function)
        for text in storage.take() if storage else ():
            self.deliver(app, "submit_call", text)
        for function, method, parameters in REQUESTS:
            answer = app.ask(function, method, **parameters)
            self.statuses.append(answer.status)
            self.texts += [answer.text, str(answer.headers)]

    def deliver(self, app: LoadedApp, function: str, letter: Letter | str) -> None:
        self._try(app.deliver, function, letter)

    def _try(self, act: Any, *arguments: Any) -> None:
        try:
            act(*arguments)
        except Exception as exc:  # noqa: BLE001 - the host takes every one
            self.texts.append("".join(traceback.format_exception(exc)))

    def secrets(self, *secrets: str) -> list[str]:
        """Those that stand somewhere in it, in whatever form."""
        text = "\n".join(self.texts)
        return [secret for secret in secrets if any(form in text for form in forms_of(secret))]

    def numbers(self, *numbers: str) -> list[str]:
        """Those of which more than five digits in a row stand somewhere in it, with whatever between them."""
        text = re.sub(r"[^0-9A-Za-z\n]", "", "\n".join(self.texts))
        return [number for number in numbers if any(part in text for part in parts_of(number))]


def forms_of(secret: str) -> set[str]:
    """As it is, for URLs, within a Python literal, and in Base64 wherever it begins there."""
    forms = {secret, quote(secret, safe=""), quote(secret), quote_plus(secret), repr(secret)[1:-1]}
    for before in range(3):
        for encode in (b64encode, urlsafe_b64encode):
            encoded = encode(b"x" * before + secret.encode()).decode().rstrip("=")
            forms.add(encoded[before + 1 : -1])
    return forms


def parts_of(number: str) -> list[str]:
    digits = re.sub("[^0-9]", "", number)
    return [digits[start : start + 6] for start in range(len(digits) - 5)]


@contextmanager
def collecting() -> Iterator[Collected]:
    """Within: every logger writes all that it has. What the app itself silences is silent."""
    handler, root = Collected(), logging.getLogger()
    levels = {logger: logger.level for logger in (root, logging.getLogger("cdr"))}
    for logger in levels:
        logger.setLevel(logging.DEBUG)
    root.addHandler(handler)
    try:
        yield handler
    finally:
        root.removeHandler(handler)
        for logger, level in levels.items():
            logger.setLevel(level)
