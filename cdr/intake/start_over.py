"""Use case: read the phone system anew from a point of a person's choice, whatever was stored before."""

from __future__ import annotations

import logging
from contextlib import suppress
from dataclasses import asdict, dataclass
from uuid import uuid4

from cdr.intake.poll import Poller
from cdr.intake.poll_history import PollReport
from cdr.intake.ports import CallReader, CallSource, Position, PositionLease, StartFrom, StoredPosition
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
    done = _told(poller.source, _moved(poller, lease, start), lease.stored)
    log.event("source.started_over", level=logging.WARNING, start=start, **asdict(done))
    return done


def _moved(poller: Poller, lease: PositionLease, start: StartFrom) -> StoredPosition:
    """Whatever comes of it, the lease is given back."""
    result, memory, error = "start over failed", None, None
    try:
        with poller.source.connect() as reader:
            position = _begin(reader, start)
        stored = StoredPosition(poller.source.name, position, began=position)
        lease = poller.positions.save(lease, stored, poller.clock.now(), poller.lease)
        result, memory = "started over", poller.watch.forget(lease.memory)
    except NoSuchStart:  # the source was there, and said so
        raise
    except PipelineError as exc:
        error = str(exc)
        raise
    finally:
        with suppress(StorageUnavailable):
            poller.positions.release(lease, PollReport(poller.clock.now(), result, error=error), memory)
    return stored


def _begin(reader: CallReader, start: StartFrom) -> Position:
    newest = reader.lag(None).newest if isinstance(start, int) else None
    position = reader.begin(start)
    if isinstance(start, int) and start > 0 and (not isinstance(newest, int) or start > newest):
        there = f"the newest one is {newest}" if newest is not None else "there are none yet"
        raise NoSuchStart(f"{start} is beyond the ids of the source: {there}")
    return position


def _told(source: CallSource, stored: StoredPosition, before: StoredPosition | None) -> StartedOver:
    return StartedOver(
        source=stored.source,
        position=_shown(source, stored),
        source_before=before.source if before else None,
        position_before=_shown(source, before),
    )


def _shown(source: CallSource, stored: StoredPosition | None) -> int | str | None:
    """For people."""
    with suppress(PipelineError):
        if stored is not None and stored.source == source.name:
            return source.progress(stored.text).position
    return None
