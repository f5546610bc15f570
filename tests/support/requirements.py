"""What tests need beside the installed packages: without it they are skipped, but never where it must be there."""

import os

import pytest


def need(what_is_missing: str | None) -> None:
    """Skip the test for what is missing (None: nothing is); in CI, where a skip would hide a hole, let it fail."""
    if what_is_missing is None:
        return
    if os.environ.get("CI"):
        pytest.fail(f"in CI this must be there: {what_is_missing}", pytrace=False)
    pytest.skip(what_is_missing)
