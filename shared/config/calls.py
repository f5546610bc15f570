"""What can be configured about calls: how a row becomes one, and how long its record is kept."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, StringConstraints, ValidationInfo, field_validator

from shared.config.types import Section


def _call_id_template(template: str) -> str:
    if not re.fullmatch(r"[^{}]*((\{call_id\}|\{id\})[^{}]*)+", template):
        raise ValueError("must be made of {call_id} and {id}")
    return template


class InternalNumberDigits(Section):
    min: int = Field(2, ge=1, le=10, description="1 to 10")
    max: int = Field(5, ge=1, le=10, description="1 to 10, not below min")

    @field_validator("max")
    @classmethod
    def _in_order(cls, value: int, info: ValidationInfo) -> int:
        if value < info.data.get("min", value):
            raise ValueError("is below min")
        return value


class Calls(Section):
    """How a row of the phone system becomes a call in the Call Logger."""

    include_internal: bool = Field(True, description="true or false: log calls between extensions")
    include_unanswered: bool = Field(False, description="true or false: log calls that nobody answered")
    internal_number_digits: InternalNumberDigits = Field(
        InternalNumberDigits(), description="how many digits an extension's number has: min and max"
    )
    phone_format: Literal["digits", "e164", "raw"] = Field("digits", description="digits, e164 or raw")
    default_region: str | None = Field(
        None,
        pattern="^[A-Z]{2}$",
        description="two capital letters, for e164: the country of numbers without +, such as US",
    )
    anonymous_number: Annotated[str, StringConstraints(strip_whitespace=True)] = Field(
        "anonymous", min_length=1, max_length=50, description="1 to 50 characters, sent where a caller has no number"
    )
    unmapped_extensions: Literal["keep", "skip", "submit_without_email"] = Field(
        "keep", description="keep (in the ledger, for a replay), skip or submit_without_email"
    )
    pbx_call_id: Annotated[str, AfterValidator(_call_id_template)] = Field(
        "{call_id}-{id}", description="a template of {call_id} and {id}: the call's unique key at the Call Logger"
    )

    @field_validator("default_region")
    @classmethod
    def _e164_needs_it(cls, value: str | None, info: ValidationInfo) -> str | None:
        if value is None and info.data.get("phone_format") == "e164":
            raise ValueError("missing, phone_format e164 needs it")
        return value

    max_rejections_per_minute: int = Field(
        60, ge=1, le=100_000, description="1 to 100000: with more, a worker stops rejecting and puts calls back instead"
    )


class Ledger(Section):
    """How long the records of calls are kept."""

    keep_days: int = Field(90, ge=7, le=3650, description="7 to 3650 days, for calls that are submitted or skipped")
    keep_rejected_days: int = Field(365, ge=7, le=3650, description="7 to 3650 days, for calls that are rejected")
