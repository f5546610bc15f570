"""A call as the Call Logger takes it."""

from __future__ import annotations

from typing import TypedDict

from cdr.calls.call import Call


class CallBody(TypedDict):
    """What a submission says, in the API's words."""

    phoneNumber: str
    callDuration: int
    callOwnerExtension: str
    callOwnerEmail: str | None
    callDirection: str
    callGroupId: str | None
    timestamp: str
    pbxCallId: str


def body_of(call: Call) -> CallBody:
    """The JSON body of ``POST /calls/from-pbx``."""
    return {
        "phoneNumber": call.phone_number,
        "callDuration": call.duration_s,
        "callOwnerExtension": call.extension,
        "callOwnerEmail": call.email,
        "callDirection": call.direction.value,
        "callGroupId": call.call_group_id,
        "timestamp": f"{call.ended_at.replace(tzinfo=None).isoformat(timespec='milliseconds')}Z",
        "pbxCallId": call.pbx_call_id,
    }
