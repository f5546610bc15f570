"""Structured log lines: an event's name and its fields, as one JSON object in the message.

The message is what Application Insights keeps of a Python log record, so a query takes it apart with
``traces | extend e = parse_json(message) | where tostring(e.event) == "call.submitted"``.
"""

from __future__ import annotations

import json
import logging
import re
from typing import Any

EVENTS = {
    "config.invalid": "the configuration holds mistakes; nothing is polled or submitted until it is mended",
    "poll.finished": "a poll came to its end: rows read, calls queued, rows still open",
    "poll.failed": "a poll could not do its work; the checkpoint is where it was, the next tick tries again",
    "poll.held": "another poll holds the lease, this one did nothing",
    "source.found": "which tables of a phone system the database has, where the configuration leaves that open",
    "row.unreadable": "a row of the phone system makes no sense; what belongs to it is judged without it",
    "row.vanished": "a row without an end is no longer in the table; there is nothing left to log",
    "poll.overtaken": "another poll took the checkpoint over while this one worked; nothing is lost",
    "call.submitted": "the call is in the Call Logger, by this submission or an earlier one",
    "call.skipped": "the rules say that this call is not logged; recorded in the ledger",
    "call.rejected": "the call cannot be logged as it is; recorded in the ledger with its row",
    "call.repeated": "a message for a call that was settled before; nothing to do",
    "call.merged_late": "calls that were queued one by one turned out to be one call; only one entry is made of them",
    "source.clock_set_back": "the phone system's clock was set back; what ends now is looked at again from there on",
    "call.put_back": "the call cannot be submitted now; its message comes again after a delay",
    "call.unsettled": "the call was sent and no answer came; the claim stays, the message comes after its lease",
    "rejections.stopped": "too many calls were rejected within a minute; they are put back instead, see why",
    "api.denied": "the API refuses our credentials",
    "poison.kept": "a message that the host gave up on is recorded in the ledger",
    "poison.returned": "the ledger is out of reach; the message went back on the poison queue",
    "replay.finished": "rejected calls were put on the queue again",
    "reconcile.finished": "the database's rows of some days were compared with the ledger",
    "groups.checked": "every monitored call group was looked at",
    "groups.failed": "the call groups could not be checked; the next check tries again",
    "groups.held": "another check of the call groups is at work, this one did nothing",
    "groups.unknown": "the source of the groups' members cannot say anything, or not of this group",
    "group.changed": "a call group went from one state to another",
    "alert.raised": "the Call Logger has an alert of this group",
    "alert.resolved": "the group's alert is over",
    "alert.failed": "the Call Logger could not be told; the next check tries again",
    "notice.failed": "a webhook did not take a notice",
    "ledger.cleaned": "old records of the ledger were removed",
    "ledger.kept": "old records changed while they were being removed; they wait for the next time",
    "storage.made_anew": "a table or queue was gone while the app was running; it is there again, and empty",
    "storage.failed": "queue or table could not be used",
}

_logger = logging.getLogger("cdr")
_NUMBER = re.compile(r"\+?\d(?:[\s().\-/]{0,3}\d){5,}")


def event(name: str, *, level: int = logging.INFO, **fields: Any) -> None:
    """Write one log line. Fields without a value are left out.

    :raises KeyError: for a name that is not listed in EVENTS
    """
    if name not in EVENTS:
        raise KeyError(name)
    present = {key: value for key, value in fields.items() if value is not None}
    _logger.log(level, "%s", json.dumps({"event": name, **present}, default=str))


def mask_number(number: str) -> str:
    """A phone number of which only the last two characters are left: enough to compare, too few to call."""
    return f"***{number[-2:]}" if len(number) > 4 else "***"  # noqa: PLR2004 - a short extension would be given away whole


def mask_numbers(text: str) -> str:
    """Somebody else's words with everything in them that may be a phone number masked."""
    return _NUMBER.sub(lambda match: mask_number(match.group()), text)
