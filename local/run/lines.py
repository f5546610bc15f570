"""What the terminal says of calls and call groups: an event goes in, the parts of one line come out. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from local.phone_system.agents import AgentEvent
from local.phone_system.pbx import CallEvent
from local.phone_system.v20_pbx import Told

_EVENT = '{"event": '

# What the host says of every single run, and of itself when it starts.
_ROUTINE = re.compile(
    r"Executing '|Executed '[^']+' \(Succeeded|Trigger Details:|Host lock lease|Worker process started"
    r"|^Functions:$|^\t\w+: |^Host ready on |^For detailed output"
    r"|^Queue '[^']+': (?:it does not exist yet|is there now)|^\s*$"
)
_TIME = re.compile(r"^\[\d{4}-\d\d-\d\dT[\d:.]+Z\] ?")


@dataclass(frozen=True, slots=True)
class Line:
    """`call` has the number of the call or call group, if it is of one; `style` is a style of rich."""

    where: str
    call: str
    what: str
    detail: str
    style: str


_OUTCOMES = {
    "call.submitted": ("Call Logger", "arrived", "green"),
    "call.skipped": ("ledger", "skipped", "yellow"),
    "call.rejected": ("ledger", "rejected", "magenta"),
    "poison.kept": ("ledger", "rejected", "magenta"),
}
_STATE_STYLES = {"ok": "green", "suspect": "yellow", "alerted": "bold red", "unknown": "yellow"}
_NOT_WORTH_A_LINE = frozenset({"groups.checked", "groups.held"})
_FAILURES = frozenset(
    {
        "config.invalid",
        "poll.failed",
        "api.denied",
        "storage.failed",
        "rejections.stopped",
        "groups.failed",
        "alert.failed",
    }
)
_WARNINGS = frozenset(
    {
        "call.put_back",
        "call.unsettled",
        "poll.overtaken",
        "poison.returned",
        "row.vanished",
        "ledger.kept",
        "groups.unknown",
        "notice.failed",
    }
)


def line_of_phone(event: CallEvent | Told) -> Line:
    if isinstance(event, Told):
        style = "cyan" if event.what in ("begins", "ends") else "dim cyan"
        return Line("phone system", _call(event.number), event.what, event.detail, style)
    leg = event.leg
    if event.change == "ended":
        detail = f"answered, {event.duration_s} s" if leg.answered else "nobody answered"
        return Line("phone system", _call(event.row_id), "ends", detail, "cyan")
    reached = f"{leg.dest_number} ({leg.extension})" if event.call.kind == "group" else leg.dest_number
    caller = leg.caller_number or "no number"
    return Line("phone system", _call(event.row_id), "begins", f"{event.call.kind}: {caller} → {reached}", "cyan")


def line_of_agent(event: AgentEvent) -> Line:
    return Line("phone system", event.group, f"logs {event.change}", f"agent {event.extension}", "cyan")


def read_event(text: str) -> dict[str, Any] | None:
    """The event in a line of the functions' output, None where there is none."""
    start = text.find(_EVENT)
    if start < 0:
        return None
    try:
        event: dict[str, Any] = json.loads(text[start:])
    except ValueError:
        return None
    return event


def line_of_event(event: Mapping[str, Any], call: str = "", entry: Mapping[str, Any] | None = None) -> Line | None:
    """None for an event that is not worth a line: a poll that found nothing to queue, one more check of the groups.

    ``call`` is what its call is called here, ``entry`` what the Call Logger has of it, where that can be looked at.
    """
    name, call = event["event"], call or event.get("group", "")
    if name in _NOT_WORTH_A_LINE:
        return None
    if name == "poll.finished":
        queued = event["queued"]
        return Line("queue", "", "queued", f"{queued} call{'s' * (queued != 1)}", "blue") if queued else None
    if name in _OUTCOMES:
        where, what, style = _OUTCOMES[name]
        return Line(where, call, what, _entry(entry) if entry else _reason(event), style)
    if name in _OF_GROUPS:
        return _OF_GROUPS[name](event)
    style = "bold red" if name in _FAILURES else "yellow" if name in _WARNINGS else "dim"
    return Line("functions", call, name, _reason(event) or _fields(event), style)


def line_of_other_output(text: str) -> str | None:
    """What is left of the functions' output: warnings, errors and tracebacks; None for what they say all the time."""
    text = _TIME.sub("", text)
    return None if _ROUTINE.search(text) else text


def _line_of_group(event: Mapping[str, Any]) -> Line:
    members, available, state = event.get("members"), event.get("available"), event["after"]
    counts = "" if available is None else f"{available} of {members} available"
    detail = ", ".join(part for part in (counts, event.get("reason")) if part)
    return Line("call group", event["group"], state, detail, _STATE_STYLES.get(state, "dim"))


def _line_of_alert(event: Mapping[str, Any]) -> Line:
    if event["event"] == "alert.raised":
        return Line("Call Logger", event["group"], "alert", f"raised: {event['type']}", "bold red")
    return Line("Call Logger", event["group"], "alert", "resolved", "green")


_OF_GROUPS: Mapping[str, Callable[[Mapping[str, Any]], Line]] = {
    "group.changed": _line_of_group,
    "alert.raised": _line_of_alert,
    "alert.resolved": _line_of_alert,
}


def _call(number: int) -> str:
    return f"#{number}"


def _entry(entry: Mapping[str, Any]) -> str:
    """Whose, how long, with whom, and through which queue."""
    owner = f"{entry['callOwnerExtension']} {entry['callOwnerEmail']}"
    way = "from" if entry["callDirection"] == "INBOUND" else "to"
    group = f", through {entry['callGroupId']}" if entry["callGroupId"] else ""
    return f"{owner}, {entry['callDuration']} s, {way} {entry['phoneNumber']}{group}"


def _reason(event: Mapping[str, Any]) -> str:
    reason = str(event.get("reason", "")).replace("_", " ")
    if event["event"] == "call.submitted":
        return f"entry {event.get('entry_id', '')}" if reason == "created" else reason
    return ": ".join(part for part in (reason, event.get("detail")) if part)


def _fields(event: Mapping[str, Any]) -> str:
    fields = {key: value for key, value in event.items() if key not in {"event", "row_id", "group"}}
    return ", ".join(
        f"{key}: {'; '.join(value) if isinstance(value, list) else value}" for key, value in fields.items()
    )
