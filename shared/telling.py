"""What the log is told of an error on its way to whoever handles it."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from shared import log
from shared.errors import StorageUnavailable


@contextmanager
def telling_of_storage() -> Iterator[None]:
    """Within, or in a function that it decorates: that queue or table could not be used is a line of the log.

    :raises StorageUnavailable: as it came
    """
    try:
        yield
    except StorageUnavailable as exc:
        log.event("storage.failed", level=logging.ERROR, reason=str(exc))
        raise
