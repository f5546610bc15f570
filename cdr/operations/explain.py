"""Which rule decided what about a call, in words. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from cdr.calls.call import Call, CallRecord, CallType, Direction
from cdr.calls.rules import CallRules, call_type_in
from cdr.intake.folding.fold import OwnerPolicy
from cdr.submission.email_addresses import Known

_OWNERS: Mapping[OwnerPolicy, str] = {
    "last_answered": "answered last",
    "first_answered": "answered first",
    "longest": "talked longest",
    "each": "talked, as did everybody with an entry",
}


@dataclass(frozen=True, slots=True)
class Because:
    """Why a call has the owner, address, direction and group that it has; None where it came to none of it."""

    owner: str | None = None
    address: str | None = None
    direction: str | None = None
    group: str | None = None


def explain(record: CallRecord, call: Call | None, rules: CallRules, known: Known, owner: OwnerPolicy) -> Because:
    """``call`` None: it comes to none. ``owner`` is what ``calls.owner`` says."""
    extension = call.extension if call else str(record.values.get("extension") or "").strip()
    if not extension:
        return Because()
    return Because(
        owner=f"{extension} {_owner(record, owner)}",
        address=_address(extension, rules, known),
        direction=_direction(record, call) if call else None,
        group=_group(record, call, rules) if call else None,
    )


def _owner(record: CallRecord, owner: OwnerPolicy) -> str:
    if type(record.values.get("id")) is int:
        return "is the record's extension"
    if record.values.get("answered"):
        return f"{_OWNERS[owner]} (calls.owner: {owner})"
    is_out = call_type_in(record) is CallType.OUTBOUND
    return "called in vain" if is_out else "was addressed last, and nobody answered"


def _address(extension: str, rules: CallRules, known: Known) -> str:
    origin = known.origin_of(extension)
    if origin is not None:
        return f"from {'the phone system' if origin == 'phone system' else origin}"
    if rules.phone_book == "unread":
        return "not known before the phone system has told its own"
    return f"not known (calls.unmapped_extensions: {rules.unmapped_extensions})"


def _direction(record: CallRecord, call: Call) -> str:
    told, is_out = call_type_in(record), call.direction is Direction.OUTBOUND
    if told is None:
        return "by which side looks like an extension (calls.internal_number_digits)"
    if told is CallType.INTERNAL:
        return f"between extensions, and the owner {'called' if is_out else 'was called'}"
    return f"to outside, by call_type {told}" if is_out else f"from outside, by call_type {told}"


def _group(record: CallRecord, call: Call, rules: CallRules) -> str:
    own = str(record.values.get("call_group_id") or "").strip()
    if own and call.call_group_id is None:
        return f"{own} left out, not one of call_groups.monitored_groups (calls.call_group: {rules.call_group})"
    if own:
        return f"{own} named by the phone system"
    return f"{call.call_group_id} called, which is monitored" if call.call_group_id else "none"
