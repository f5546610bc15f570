"""Calls that went out one by one, and turned out to be parts of one."""

from __future__ import annotations

from cdr.calls.call import Job, Reason, Settlement, State
from cdr.calls.rules import job_of
from cdr.submission import report
from cdr.submission.ports import AlreadySubmitted, Held
from cdr.submission.worker import Worker
from shared.errors import PartHeld


def close_parts(job: Job, worker: Worker) -> Settlement | None:
    """Nobody may submit any more what turned out to be a part of this call. If one of them is in, the call is; the
    others are closed all the same.

    :raises PartHeld: a worker has one of them, or it may have been sent
    :raises StorageUnavailable: not all of them are closed
    """
    found = None
    for part in job.record.replaces:
        old = job_of(part, worker.rules)
        if old.key == job.key:
            continue  # by today's rules it stands where the call itself does, and that claim is ours
        closed = Settlement(State.SKIPPED, Reason.MERGED, f"part of {job.key.name}")
        match worker.ledger.record(old.key, None, closed, worker.clock.now()):
            case Held() as held:
                raise PartHeld(f"{held.why}, as {old.key.name}, which is a part of it")
            case AlreadySubmitted(as_part=False):
                report.merged_late(job, old)
                found = found or Settlement(State.SKIPPED, Reason.MERGED, f"submitted before as {old.key.name}")
    return found
