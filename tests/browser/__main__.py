"""Takes the picture of the page that stands in the README.

python -m tests.browser
"""

from __future__ import annotations

from pathlib import Path

from playwright.sync_api import sync_playwright

from tests.browser.chromium import OPTIONS, find_chromium
from tests.browser.served import KEY, Served, serve
from tests.support.scenes import SCENES

PICTURE = Path(__file__).parents[2] / "docs" / "images" / "status.png"


def main() -> None:
    PICTURE.parent.mkdir(exist_ok=True)
    with sync_playwright() as playwright, serve(Served(SCENES["healthy"])) as app:
        browser = playwright.chromium.launch(executable_path=find_chromium(), args=OPTIONS)
        tab = browser.new_page(viewport={"width": 1120, "height": 1122}, color_scheme="light")
        tab.set_extra_http_headers({"x-functions-key": KEY})
        tab.goto(f"{app.base_url}/status")
        tab.screenshot(path=PICTURE)
        browser.close()


if __name__ == "__main__":
    main()
