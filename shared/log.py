"""Structured log lines: an event's name and its fields, as one JSON object in the message.

The message is what Application Insights keeps of a Python log record, so a query takes it apart with
``traces | extend e = parse_json(message) | where tostring(e.event) == "call.submitted"``.
"""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Mapping
from typing import Any

from shared.masking import mask_number, mask_numbers

__all__ = ["EVENTS", "LONGEST_LINE", "event", "mask_number", "mask_numbers"]

EVENTS = {
    "config.invalid": "the configuration holds mistakes; nothing is polled or submitted until it is mended",
    "poll.finished": "a poll came to its end: rows read, calls queued, rows still open",
    "poll.failed": "a poll could not do its work; the position is where it was, the next tick tries again",
    "poll.held": "another poll holds the lease, this one did nothing",
    "source.found": "which tables of a phone system the database has, where the configuration leaves that open",
    "source.ids_started_again": "ids of the source began again: new calls are below what was read, and are not seen",
    "source.ids_below_position": "the source's newest id is below what was read: calls that come now are not seen",
    "source.ends_went_back": "the source's newest call ended before one that was seen: an older state was put back",
    "source.emptied": "the source has no calls any more, although some were read",
    "source.vanished": "the source's table, or a column of it, is not there any more: no calls are read",
    "source.calls_named_anew": "calls.pbx_call_id was changed: calls that are read again would be entered once more",
    "source.rows_without_id": "rows of the source have no id, or are of no call: they cannot be read",
    "source.rows_came_late": "rows came where reading had been long before: a set-back clock, late copy or late commit",
    "source.stands_still": "there are no new calls, although there should be: a replica or a connector stands still",
    "source.recovered": "what was wrong with the source is over",
    "source.watch_failed": "whether the source stands still, or is another one, could not be looked at",
    "source.started_over": "a person chose where reading goes on; what lies before that is of no interest any more",
    "row.unreadable": "a row of the phone system makes no sense; what belongs to it is judged without it",
    "row.vanished": "a row without an end is no longer in the table; there is nothing left to log",
    "poll.overtaken": "another poll took the position over while this one worked; nothing is lost",
    "call.submitted": "the call is in the Call Logger, by this submission or an earlier one",
    "call.skipped": "the rules say that this call is not logged; recorded in the ledger",
    "call.rejected": "the call cannot be logged as it is; recorded in the ledger with its row",
    "call.repeated": "a message for a call that was settled before; nothing to do",
    "call.merged_late": "calls that were queued one by one turned out to be one call; only one entry is made of them",
    "source.blind": "the phone system does not say what is under way, see why; a call is over once quiet for an hour",
    "source.clock_set_back": "the phone system's clock was set back; what ends now is looked at again from there on",
    "call.put_back": "the call cannot be submitted now; its message comes again after a delay",
    "call.unsettled": "the call was sent and no answer came; the claim stays, the message comes after its lease",
    "claim.cut_short": "a call's claim ended later than any can, see until; it ends within ten minutes now",
    "rejections.stopped": "too many calls were rejected within a minute; they are put back instead, see why",
    "api.denied": "the API refuses our credentials, or what answers is not the API",
    "request.failed": "a function that was asked met a defect of the app; where says in which lines of its code",
    "poison.kept": "a message that the host gave up on is recorded in the ledger",
    "poison.failed": "a message that the host gave up on meets a defect; it goes back on the poison queue",
    "poison.returned": "the ledger is out of reach; the message went back on the poison queue",
    "replay.finished": "rejected calls were put on the queue again",
    "directory.read": "the phone system told whose extension is whose",
    "directory.failed": "the phone system did not tell whose extension is whose; what it told before goes on to count",
    "directory.problems": "extensions without an address in the phone system, with a wrong one or another's; told once",
    "extensions.learned": "calls that were rejected for want of an address are on the queue again, since there is one",
    "reconcile.finished": "the calls of some days were compared with the ledger; a warning where some are missing",
    "reconcile.failed": "the calls of the last days could not be compared with the ledger; the next time tries again",
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

LONGEST_LINE = 16_384
"""Characters, each a byte. The platform cuts a trace at 32,768, and what was cut is no JSON any more."""

LONGEST_INTEGER_BITS = 1_024

_SHORTER = (8_000, 4_000, 2_000, 1_000, 500, 200, 100, 50, 20, 5)
"""To how many characters the texts of a line are cut, until it is short enough."""


def event(name: str, *, level: int = logging.INFO, **fields: Any) -> None:
    """Write one log line. Fields without a value are left out; texts that make it too long are cut, and it says so.

    :raises KeyError: for a name that is not listed in EVENTS
    """
    if name not in EVENTS:
        raise KeyError(name)
    if not _logger.isEnabledFor(level):
        return
    present = {key: value for key, value in fields.items() if value is not None}
    _logger.log(level, "%s", _line({"event": name, **present}))


def _line(fields: Mapping[str, Any]) -> str:
    line = _json(fields)
    for most in _SHORTER:
        if len(line) <= LONGEST_LINE:
            break
        line = _json({**{key: _shortened(value, most) for key, value in fields.items()}, "shortened": True})
    return line


def _json(fields: Mapping[str, Any]) -> str:
    return json.dumps({key: _plain(value) for key, value in fields.items()}, default=str)


def _plain(value: Any) -> Any:
    """Numbers that JSON does not have, or nobody can read, as text."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, int) and value.bit_length() > LONGEST_INTEGER_BITS:
        return f"an integer of {value.bit_length()} bits"
    return value


def _shortened(value: Any, most: int) -> Any:
    if isinstance(value, list | tuple):
        left_out = len(value) - most // 4
        kept = [_shortened(each, most) for each in value[: most // 4]]
        return [*kept, f"… ({left_out} more)"] if left_out > 0 else kept
    if value is None or isinstance(value, int | float):
        return value
    text = str(value)
    return text if len(text) <= most else f"{text[:most]}… ({len(text)} characters)"
