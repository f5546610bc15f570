"""One browser for all tests of the page, and for each of them the page as a site of its own."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from local.azurite import default_folder
from tests.browser.chromium import OPTIONS, find_chromium
from tests.browser.served import KEY, Served, serve
from tests.support.requirements import need
from tests.support.scenes import SCENES

WAIT_MS = 30_000
"""What never happens is waited for so long; a busy machine may take seconds to show a page."""

expect.set_options(timeout=WAIT_MS)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    chromium = find_chromium()
    need(None if chromium else "Chromium is not installed (no `chromium` on PATH)")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=OPTIONS)
        yield browser
        browser.close()


@pytest.fixture
def app() -> Iterator[Served]:
    with serve(Served(SCENES["healthy"])) as served:
        yield served


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    context = browser.new_context()
    context.set_default_timeout(WAIT_MS)
    yield context
    context.close()


@pytest.fixture
def tab(context: BrowserContext) -> Iterator[Page]:
    """Whatever the browser complains of fails the test."""
    complaints: list[str] = []
    tab = context.new_page()
    tab.on("pageerror", lambda error: complaints.append(str(error)))
    tab.on("console", lambda said: complaints.append(said.text) if said.type == "error" else None)
    yield tab
    assert [said for said in complaints if not said.startswith("Failed to load resource")] == []


@pytest.fixture(scope="session")
def axe() -> str:
    """The source of axe-core, which looks for what keeps people out."""
    file: Path = default_folder() / "node_modules" / "axe-core" / "axe.min.js"
    need(None if file.is_file() else f"axe-core is not installed in {file.parents[2]}")
    return file.read_text(encoding="utf-8")


def barriers(tab: Page, axe: str) -> list[Any]:
    """What axe finds on a page, and where."""
    if not tab.evaluate("'axe' in window"):
        tab.evaluate(axe)
    found = tab.evaluate("axe.run({resultTypes: ['violations']}).then((run) => JSON.stringify(run.violations))")
    return [(each["id"], [node["html"] for node in each["nodes"]]) for each in json.loads(found)]


def opened(tab: Page, app: Served) -> Page:
    """As by a person who has typed the key."""
    tab.goto(f"{app.base_url}/page")
    tab.get_by_label("Key", exact=True).fill(KEY)
    tab.keyboard.press("Enter")
    expect(tab.locator("#word")).to_be_visible()
    return tab
