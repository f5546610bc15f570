"""What can be configured about calls: how a row becomes one, and how long its record is kept."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, PlainValidator, StringConstraints, ValidationInfo, field_validator

from shared.config.intervals import RECONCILE_EVERY, Every, every_of
from shared.config.types import Section

LONGEST_KEY = 100
LONGEST_PART = {"{call_id}": 40, "{id}": 19}
"""A call's own id is a UUID, with a number at times; a row's has 63 bits."""
HABITS = {"UK": "GB", "EN": "GB", "EL": "GR"}
"""What people take for a country's two letters."""


def _call_id_template(template: str) -> str:
    """Makes another key of each call, whatever its id, and one that the Call Logger has room for."""
    pieces = re.split(r"(\{call_id\}|\{id\})", template)
    fields, between = pieces[1::2], pieces[0::2]
    if not fields or any("{" in text or "}" in text for text in between) or not template.isprintable():
        raise ValueError("must be made of {call_id} and {id}; without either, all calls would have one key")
    for one, text, other in zip(fields, between[1:], fields[1:], strict=False):
        if one != other and not re.search(r"\D", text):
            raise ValueError(f"would merge calls: something other than digits must stand between {one} and {other}")
    longest = sum(map(len, between)) + sum(LONGEST_PART[field] for field in fields)
    if longest > LONGEST_KEY:
        raise ValueError(f"can make a key of {longest} characters, of which the Call Logger takes {LONGEST_KEY}")
    return template


def _visible(text: str) -> str:
    if text and not any(character.isprintable() for character in text):
        raise ValueError("has nothing in it that can be seen")
    return text


class InternalNumberDigits(Section):
    min: int = Field(2, ge=1, le=10, description="1 to 10: the fewest digits of an extension")
    max: int = Field(5, ge=1, le=10, description="1 to 10, not below min: the most digits of an extension")

    @field_validator("max")
    @classmethod
    def _in_order(cls, value: int, info: ValidationInfo) -> int:
        if value < info.data.get("min", value):
            raise ValueError("is below min")
        return value


class Calls(Section):
    """How a row of the phone system becomes a call in the Call Logger."""

    include_internal: bool = Field(
        True,
        description="true or false: log calls between extensions; inbound if the owner is called, outbound if the "
        "owner calls",
    )
    include_unanswered: bool = Field(
        False, description="true or false: log calls that nobody answered; else they are skipped, as the ledger says"
    )
    internal_number_digits: InternalNumberDigits = Field(
        InternalNumberDigits(),
        description="how many digits an extension has, min and max: what looks like one where call_type does not say",
    )
    phone_format: Literal["digits", "e164", "raw"] = Field(
        "digits", description="digits, e164 (needs default_region) or raw (as the phone system has it)"
    )
    default_region: str | None = Field(
        None,
        pattern="^[A-Z]{2}$",
        description="two capital letters, such as US, for e164: the country whose numbers are written without +",
    )
    anonymous_number: Annotated[str, StringConstraints(strip_whitespace=True), AfterValidator(_visible)] = Field(
        "anonymous", min_length=1, max_length=50, description="1 to 50 characters, sent where a caller has no number"
    )
    unmapped_extensions: Literal["keep", "skip", "submit_without_email"] = Field(
        "keep", description="keep (rejected in the ledger, until mapped and replayed), skip or submit_without_email"
    )
    pbx_call_id: Annotated[str, AfterValidator(_call_id_template)] | None = Field(
        None,
        description="a template of {call_id} and {id}: the call's unique key at the Call Logger; if not given "
        "{call_id}-{id} for rows with a number, {id} for calls of legs; {call_id} alone goes on with the keys of the "
        "Node.js integration, which loses all but the first row of a transferred call",
    )

    owner: Literal["last_answered", "first_answered", "longest", "each"] = Field(
        "last_answered",
        description="for sources of legs, whose a call is in which several talked: last_answered, first_answered, "
        "longest (talk in sum) or each (an entry for each); but with each, what the others talked is in no entry",
    )
    duration: Literal["talk", "call"] = Field(
        "talk",
        description="for sources of legs: talk (the owner's own) or call (all of it, with the waiting)",
    )
    call_group: Literal["any", "monitored"] = Field(
        "any", description="any (the queue or ring group that a call came through) or monitored (only those monitored)"
    )

    max_rejections_per_minute: int = Field(
        60, ge=1, le=100_000, description="1 to 100000: with more, a worker stops rejecting and puts calls back instead"
    )

    @field_validator("owner")
    @classmethod
    def _each_needs_a_key(cls, value: str, info: ValidationInfo) -> str:
        template = info.data.get("pbx_call_id")
        if value == "each" and template is not None and "{id}" not in template:
            raise ValueError("would give the entries of a call one key: calls.pbx_call_id must hold {id} for it")
        return value

    @field_validator("default_region")
    @classmethod
    def _e164_needs_it(cls, value: str | None, info: ValidationInfo) -> str | None:
        if value is None:
            if info.data.get("phone_format") == "e164":
                raise ValueError("missing, phone_format e164 needs it")
            return None
        import phonenumbers

        if value not in phonenumbers.SUPPORTED_REGIONS:
            meant = f"; meant {HABITS[value]}?" if value in HABITS else ""
            raise ValueError(f"is no region whose numbers are known{meant}")
        return value


class Ledger(Section):
    """How long the records of calls are kept."""

    keep_days: int = Field(90, ge=7, le=3650, description="7 to 3650 days, for calls that are submitted or skipped")
    keep_rejected_days: int = Field(365, ge=7, le=3650, description="7 to 3650 days, for calls that are rejected")


EVERY = "^(never|[1-9][0-9]{0,5} *(s|m|h|d|seconds?|minutes?|hours?|days?))$"


def _every(value: Any) -> Every:
    return value if isinstance(value, timedelta) else every_of(str(value))


class Reconcile(Section):
    """How often the calls of the last days are compared with the ledger."""

    every: Annotated[
        Every,
        PlainValidator(_every, json_schema_input_type=Annotated[str, Field(pattern=EVERY)]),
    ] = Field(
        RECONCILE_EVERY,
        description="from 1 hour to 1 day, at the next shorter interval of hours that divides a day; or never",
    )
    days: int = Field(3, ge=1, le=31, description="1 to 31 days before the present one; never more than are kept")
