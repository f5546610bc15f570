"""A reader of the log, as a plugin for every folder."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterator
from typing import Any

import pytest

from shared import log
from tests.support.factories import OUTSIDE

SECRETS = ("s3cret",)


class Events:
    """The log's lines as events, in order."""

    def __init__(self, caplog: pytest.LogCaptureFixture) -> None:
        self._caplog = caplog

    @property
    def _records(self) -> list[logging.LogRecord]:
        return [record for record in self._caplog.records if record.name == "cdr"]

    @property
    def lines(self) -> list[str]:
        return [record.getMessage() for record in self._records]

    @property
    def names(self) -> list[str]:
        return [json.loads(line)["event"] for line in self.lines]

    def named(self, name: str) -> list[dict[str, Any]]:
        """The fields of all events with this name, and their ``level``."""
        found = [(json.loads(record.getMessage()), record.levelname) for record in self._records]
        return [fields | {"level": level} for fields, level in found if fields["event"] == name]

    def only(self, name: str) -> dict[str, Any]:
        (event,) = self.named(name)
        return event


@pytest.fixture
def events(caplog: pytest.LogCaptureFixture) -> Iterator[Events]:
    """Also checks in the end that no line gives away the outside party's number or a secret."""
    caplog.set_level(logging.INFO, logger="cdr")
    events = Events(caplog)
    yield events
    outside = re.sub("[^0-9]", "", OUTSIDE)[-10:]
    for line in events.lines:
        assert json.loads(line)["event"] in log.EVENTS
        assert outside not in re.sub("[^0-9]", "", line), line
        assert not any(secret in line for secret in SECRETS), line
