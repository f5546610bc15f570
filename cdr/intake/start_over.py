"""Use case: read the phone system anew from a point of a person's choice, whatever was stored before."""

from __future__ import annotations

import logging
from contextlib import suppress
from dataclasses import dataclass
from uuid import uuid4

from cdr.intake.poll import Poller
from cdr.intake.poll_history import PollReport
from cdr.intake.ports import CallReader, CallSource, Position, StartFrom, StoredPosition
from shared import log
from shared.errors import NoSuchStart, PipelineError, StorageUnavailable


@dataclass(frozen=True, slots=True)
class StartedOver:
    """Where reading goes on from now on, and how far it had come. A position of before that nobody can read is None."""

    source: str
    position: int | str | None
    source_before: str | None = None
    position_before: int | str | None = None


def start_over(poller: Poller, start: StartFrom) -> StartedOver:
    """Let the next poll begin at ``start``. A position that is damaged, or of another source, is replaced like any.

    What is read again is in the ledger already, and does no harm. What lies before the start is no more of interest.

    :raises LeaseHeld: a poll is at work
    :raises NoSuchStart: the source has no such place
    :raises SourceUnavailable, SourceMisconfigured, StorageUnavailable: nothing has changed
    """
    lease = poller.positions.lease(uuid4().hex, poller.clock.now(), poller.lease)
    before, result, memory, error = lease.stored, "start over failed", None, None
    try:
        with poller.source.connect() as reader:
            position = _begin(reader, start)
        stored = StoredPosition(poller.source.name, position, began=position)
        lease = poller.positions.save(lease, stored, poller.clock.now(), poller.lease)
        result, memory = "started over", poller.watch.forget(lease.memory) if poller.watch else None
    except NoSuchStart:  # the source was there, and said so
        raise
    except PipelineError as exc:
        error = str(exc)
        raise
    finally:
        with suppress(StorageUnavailable):
            poller.positions.release(lease, PollReport(poller.clock.now(), result, error=error), memory)
    done = StartedOver(
        source=stored.source,
        position=_shown(poller.source, stored),
        source_before=before.source if before else None,
        position_before=_shown(poller.source, before),
    )
    log.event(
        "source.started_over",
        level=logging.WARNING,
        start=start,
        source=done.source,
        position=done.position,
        source_before=done.source_before,
        position_before=done.position_before,
    )
    return done


def _begin(reader: CallReader, start: StartFrom) -> Position:
    newest = reader.lag(None).newest if isinstance(start, int) else None
    position = reader.begin(start)
    if isinstance(start, int) and start > 0 and (not isinstance(newest, int) or start > newest):
        there = f"the newest one is {newest}" if newest is not None else "there are none yet"
        raise NoSuchStart(f"{start} is beyond the ids of the source: {there}")
    return position


def _shown(source: CallSource, stored: StoredPosition | None) -> int | str | None:
    """For people."""
    with suppress(PipelineError):
        if stored is not None and stored.source == source.name:
            return source.progress(stored.text).position
    return None
