"""What is recorded of a call that is at the API already. That it is found out is the claim's work: see CallLedger."""

from __future__ import annotations

from datetime import datetime

from cdr.calls.call import Job
from cdr.calls.message import Message
from cdr.calls.rules import row_key, same_call
from cdr.submission import report
from cdr.submission.ports import AlreadySubmitted, CallLedger


def record_repeated(job: Job, found: AlreadySubmitted, ledger: CallLedger, now: datetime) -> bool:
    """If another row brought the call there, this one gets a record of its own: it is nowhere else.

    :returns: whether it was this row's own call
    :raises StorageUnavailable: nothing is recorded
    """
    is_own = found.record_id in (None, job.record.id)
    if not is_own:
        own = row_key(job.key, job.record.id)
        ledger.record(own, Message((job.record,)), same_call(str(found.record_id)), now)
    report.repeated(job, is_own=is_own)
    return is_own
