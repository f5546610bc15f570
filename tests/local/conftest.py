"""What tests of several stand-ins use: a storage account."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from local import azurite
from tests.support.requirements import need
from tests.systems.storage import Storage


@pytest.fixture(scope="session")
def storage() -> Iterator[Storage]:
    need(azurite.what_is_missing())
    with azurite.start() as running:
        yield Storage(running)
