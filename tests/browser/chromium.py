"""The browser that the page is looked at with."""

from __future__ import annotations

import os
import shutil

NAMES = (
    "chromium",
    "chromium-browser",
    "google-chrome",
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
)

OPTIONS = ["--no-sandbox"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []
"""As root it has no sandbox of its own."""


def find_chromium() -> str | None:
    return next(filter(None, map(shutil.which, NAMES)), None)
