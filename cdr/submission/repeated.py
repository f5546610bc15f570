"""What is recorded of a call that is at the API already."""

from __future__ import annotations

from datetime import datetime

from cdr.calls.call import Job, Reason, Settlement, State
from cdr.calls.message import Message
from cdr.calls.rules import row_key
from cdr.submission import report
from cdr.submission.ports import AlreadySubmitted, CallLedger


def record_repeated(job: Job, found: AlreadySubmitted, ledger: CallLedger, now: datetime) -> bool:
    """If another row brought the call there, this one gets a record of its own: it is nowhere else.

    :returns: whether it was this row's own call
    :raises StorageUnavailable: nothing is recorded
    """
    is_own = found.record_id in (None, job.record.id)
    if not is_own:
        detail = f"row {found.record_id} has the same pbxCallId"
        settlement = Settlement(State.SKIPPED, Reason.SAME_PBX_CALL_ID, detail)
        ledger.record(row_key(job.key, job.record.id), Message((job.record,)), settlement, now)
    report.repeated(job, is_own=is_own)
    return is_own
