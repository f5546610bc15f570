"""What every test gets: an environment without the developer's own settings, and hypothesis within reasonable time."""

from __future__ import annotations

import gc
import os
from collections.abc import Generator, Iterator
from datetime import UTC, datetime
from typing import Any

import hypothesis
import pytest

from shared.config.written import ENVIRONMENT
from tests.fakes.clock import HandMovedClock
from tests.support import ports
from tests.support.sections import SECTIONS

pytest_plugins = ("tests.support.events", "tests.systems.plugin")

OF_THE_APP = {*ENVIRONMENT.values(), "CONFIG_FILE", "AZURE_CLIENT_ID"}
LOCAL = "127.0.0.1,localhost"

# The same examples each time where a surprise would only stop somebody else's work. How long an example takes to make
# says something of the machine, and nothing of the product.
hypothesis.settings.register_profile(
    "project",
    max_examples=80,
    deadline=None,
    derandomize="CI" in os.environ,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)
hypothesis.settings.load_profile("project")


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Tests stay until the end: to look through them for garbage, again and again, is a tenth of a worker's time."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No setting of the app's and no proxy for 127.0.0.1, whatever the developer's shell says."""
    for name in list(os.environ):
        if name in OF_THE_APP or name.startswith("AzureWebJobsStorage"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("NO_PROXY", LOCAL)
    monkeypatch.setenv("no_proxy", LOCAL)


@pytest.fixture
def clock() -> HandMovedClock:
    """Stands still at the end of the plain row's day until a test moves it."""
    return HandMovedClock(datetime(2026, 11, 22, 12, 0, tzinfo=UTC))


@pytest.fixture
def closed_port() -> Iterator[int]:
    with ports.closed_port() as port:
        yield port


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Tests that run in parallel do so in processes of their own, which print nothing: what they say goes along."""
    output = getattr(session.config, "workeroutput", None)
    if output is not None:
        output["sections"] = SECTIONS


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    SECTIONS.update(getattr(node, "workeroutput", {}).get("sections", {}))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for heading, text in SECTIONS.items():
        terminalreporter.section(heading)
        terminalreporter.write_line(text)
