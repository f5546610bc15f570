"""What can be configured: typed, frozen settings, validated all at once.

The types are the single source for three things: the validation, the JSON Schema that stands beside the configuration
file, and the sentence "allowed: ..." of every mistake (each field's description).
"""

from __future__ import annotations

from pydantic import Field

from shared.config.call_logger import Api
from shared.config.calls import Calls, Ledger, Reconcile
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
