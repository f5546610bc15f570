"""What the Call Logger demands of each field. Pure: a body goes in, what is wrong with it comes out."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

# What is wrong with a value, in the backend's words, or None.
Check = Callable[[Any], str | None]

INT_MAX = 2**31 - 1
LARGEST_OFFSET = timedelta(hours=18)
TIMESTAMP = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]\.[0-9]{3}(Z|[+-][0-9]{2}:[0-5][0-9])"
)
MAILBOX_ATOM = r"[\w!#$%&'*+/=?^`{|}~-]+"
DOMAIN_LABEL = r"[^\W_]+(-+[^\W_]+)*"
EMAIL = re.compile(rf"{MAILBOX_ATOM}(\.{MAILBOX_ATOM})*@{DOMAIN_LABEL}(\.{DOMAIN_LABEL})*")
MAILBOX_LENGTH = 64


@dataclass(frozen=True, slots=True)
class Violation:
    field: str
    message: str
    rejected_value: Any


def is_blank(text: str) -> bool:
    """As Java trims: everything up to U+0020 is blank, a no-break space is not."""
    return all(character <= " " for character in text)


def java_length(text: str) -> int:
    """The length as Java counts it: a character outside the basic plane is two."""
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


def text(value: Any) -> str | None:
    return None if isinstance(value, str) else "must be a string"


def text_of(at_most: int) -> Check:
    def check(value: Any) -> str | None:
        if isinstance(value, str) and java_length(value) > at_most:
            return f"size must be between 0 and {at_most}"
        return text(value)

    return check


def filled_text_of(at_most: int) -> Check:
    sized = text_of(at_most)

    def check(value: Any) -> str | None:
        if value is None or (isinstance(value, str) and is_blank(value)):
            return "must not be blank"
        return sized(value)

    return check


def optional(rule: Check) -> Check:
    return lambda value: None if value is None else rule(value)


def required(rule: Check) -> Check:
    return lambda value: "must not be null" if value is None else rule(value)


def whole_number(value: Any) -> str | None:
    if not isinstance(value, int) or isinstance(value, bool):
        return "must be an integer"
    return None if -INT_MAX - 1 <= value <= INT_MAX else "is out of range of an integer"


def email_of(at_most: int) -> Check:
    sized = text_of(at_most)

    def check(value: Any) -> str | None:
        complaint = sized(value)
        if complaint is None and not is_email(value):
            return "must be a well-formed email address"
        return complaint

    return check


def is_email(text: str) -> bool:
    return EMAIL.fullmatch(text) is not None and len(text.partition("@")[0]) <= MAILBOX_LENGTH


def direction(value: Any) -> str | None:
    return None if value in ("INBOUND", "OUTBOUND") else "must be one of INBOUND, OUTBOUND"


def timestamp(value: Any) -> str | None:
    if isinstance(value, str) and is_timestamp(value):
        return None
    return "must match yyyy-MM-dd'T'HH:mm:ss.SSSXXX"


def is_timestamp(text: str) -> bool:
    if not TIMESTAMP.fullmatch(text):
        return False
    try:
        offset = datetime.fromisoformat(text).utcoffset()
    except ValueError:  # the shape of a date, but no day of the calendar
        return False
    return offset is not None and abs(offset) <= LARGEST_OFFSET


CALL_RULES: Mapping[str, Check] = {
    "phoneNumber": filled_text_of(at_most=50),
    "callDuration": required(whole_number),
    "callOwnerExtension": filled_text_of(at_most=20),
    "callOwnerEmail": optional(email_of(at_most=255)),
    "callDirection": required(direction),
    "callGroupId": optional(text_of(at_most=100)),
    "timestamp": required(timestamp),
    "pbxCallId": filled_text_of(at_most=100),
}

ALERT_RULES: Mapping[str, Check] = {
    "callGroupId": filled_text_of(at_most=100),
    "callGroupName": optional(text_of(at_most=255)),
    "alertType": filled_text_of(at_most=50),
    "alertMessage": optional(text),
}


def violations(rules: Mapping[str, Check], body: Any) -> list[Violation]:
    """Every broken rule, in the order of the rules. Fields without a rule are ignored, as the backend does."""
    if not isinstance(body, dict):
        return [Violation("body", "must be a JSON object", None)]
    found = ((field, check(body.get(field))) for field, check in rules.items())
    return [Violation(field, message, body.get(field)) for field, message in found if message is not None]
