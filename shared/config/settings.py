"""What can be configured: typed, frozen settings, validated all at once.

The types are the single source for three things: the validation, the JSON Schema that stands beside the configuration
file, and the sentence "allowed: ..." of every mistake (each field's description).
"""

from __future__ import annotations

from pydantic import Field, ValidationInfo, field_validator

from shared.config.call_logger import Api
from shared.config.calls import Calls, Ledger, Reconcile
from shared.config.extensions import DatabaseExtensions, ExtensionsFrom, NoExtensions, XapiExtensions
from shared.config.groups import CallGroups
from shared.config.hours import BusinessHours
from shared.config.phone_system import ThreeCx
from shared.config.types import Email, Section


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
