"""What can be configured: typed, frozen settings, validated all at once.

The types are the single source for three things: the validation, the JSON Schema that stands beside the configuration
file, and the sentence "allowed: ..." of every mistake (each field's description).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pydantic import Field, ValidationInfo, ValidatorFunctionWrapHandler, field_validator
from pydantic_core import InitErrorDetails

from shared.config.call_logger import Api
from shared.config.calls import Calls, Ledger, Reconcile
from shared.config.credentials import may_hold_one
from shared.config.extensions import DatabaseExtensions, ExtensionsFrom, NoExtensions, XapiExtensions
from shared.config.groups import CallGroups
from shared.config.hours import BusinessHours
from shared.config.phone_system import ThreeCx
from shared.config.together import mistake, with_those_within
from shared.config.types import Email, Section, as_compared
from shared.extensions import MAX_EXTENSION, plain_extension

LONGEST_SHOWN = 40


class Settings(Section):
    """The whole configuration file."""

    three_cx: ThreeCx = Field(alias="3cx", description="the phone system")
    api: Api = Field(description="the Call Logger")
    calls: Calls = Field(Calls(), description="how rows become calls")
    ledger: Ledger = Field(Ledger(), description="how long records are kept")
    reconcile: Reconcile = Field(Reconcile(), description="how often the last days are compared with the ledger")
    business_hours: BusinessHours = Field(BusinessHours(), description="time zone and hours of each weekday")
    call_groups: CallGroups = Field(CallGroups(), description="queues and ring groups")
    extension_mapping: dict[str, Email] = Field(
        default_factory=dict, description="extension: e-mail address; extensions are text, 0101 is not 101"
    )
    extension_mapping_from: ExtensionsFrom = Field(
        NoExtensions(),
        description="source: none, database or xapi; where else addresses come from; what extension_mapping says wins",
    )

    @field_validator("extension_mapping", mode="wrap")
    @classmethod
    def _as_rows_have_them(cls, value: Any, handler: ValidatorFunctionWrapHandler) -> Any:
        """Each under the extension as it is compared. One that no row has would be an address that nobody gets."""
        wrong = _wrong_keys(value) if isinstance(value, dict) else ()
        mapping = with_those_within(wrong, value, handler)
        return {plain_extension(extension): email for extension, email in mapping.items()}

    @field_validator("extension_mapping_from")
    @classmethod
    def _can_be_asked(cls, value: ExtensionsFrom, info: ValidationInfo) -> ExtensionsFrom:
        three_cx = info.data.get("three_cx")
        if three_cx is not None and isinstance(value, XapiExtensions) and three_cx.xapi is None:
            raise ValueError("names the REST API, and 3cx.xapi, which says where that is, is missing")
        has_own = not isinstance(value, DatabaseExtensions) or value.database is not None
        if three_cx is not None and not has_own and three_cx.cdr_database is None:
            raise ValueError("names no database, and there is no 3cx.cdr_database to take in its place")
        return value


def _wrong_keys(mapping: dict[str, Any]) -> Iterator[InitErrorDetails]:
    """What can be no extension, and what would be another one's."""
    written: dict[str, str] = {}
    for key, email in mapping.items():
        shown = "***" if may_hold_one(key) else f"{key!r:.{LONGEST_SHOWN}}"
        try:
            plain = as_compared(key)
        except ValueError as exc:
            yield mistake((), mapping, "{key} {why}", key=shown, why=str(exc))
            continue
        if len(plain) > MAX_EXTENSION:
            why = f"is no extension: it has more than {MAX_EXTENSION} characters, and matches nothing"
            yield mistake((), mapping, "{key} {why}", key=shown, why=why)
        elif mapping[written.setdefault(plain, key)] != email:
            yield mistake((), mapping, "{key} is {plain}, which has another address", key=shown, plain=plain)
