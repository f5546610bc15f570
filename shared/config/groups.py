"""What can be configured about call groups: which are watched, who belongs to them, and who is told."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import timedelta
from typing import Annotated, Any, ClassVar, Literal

from pydantic import (
    AfterValidator,
    Field,
    SecretStr,
    ValidationInfo,
    ValidatorFunctionWrapHandler,
    field_validator,
)
from pydantic_core import InitErrorDetails

from shared.config.hours import GroupHours
from shared.config.intervals import CHECK_MINUTES
from shared.config.phone_system import Database, Engine, Xapi
from shared.config.together import mistake, with_those_within
from shared.config.types import Duration, Section, as_compared, http_url
from shared.extensions import plain_extension


class NoMembers(Section):
    """Groups are named on calls but not checked."""

    source: Literal["none"] = Field("none", description="none")


class StaticMembers(Section):
    source: Literal["static"] = Field(description="static: each monitored group lists its members")


class MemberDatabase(Database):
    SETTING: ClassVar[str] = "call_groups.members.database"

    engine: Engine = Field("postgresql", description="postgresql, mysql (MariaDB too), sqlserver or sqlite")


class DatabaseMembers(Section):
    source: Literal["database"] = Field(description="database: the phone system's own, or any with a SELECT for it")
    database: MemberDatabase = Field(
        description="how to get there: the settings of 3cx.cdr_database, but by default with the engine postgresql"
    )
    select: str = Field(
        "3cx-v20",
        min_length=1,
        description="name of a file in config/members without .sql, or the path of a file of your own: the SELECT that "
        "yields members",
    )


class XapiMembers(Xapi):
    source: Literal["xapi"] = Field(description="xapi: the REST API of 3CX V20")


Members = Annotated[NoMembers | StaticMembers | DatabaseMembers | XapiMembers, Field(discriminator="source")]


class Notify(Section):
    """A webhook that is told of alerts."""

    type: Literal["teams", "slack", "json"] = Field(description="teams, slack or json")
    url: SecretStr = Field(description="the webhook's http(s) address")

    @field_validator("url")
    @classmethod
    def _is_url(cls, value: SecretStr) -> SecretStr:
        address, _, query = value.get_secret_value().partition("?")
        http_url(address)
        if not re.fullmatch(r"[!-~]*", query):
            raise ValueError("is not an http or https address: what follows its ? has a blank or a line break in it")
        return value


def _member(extension: str) -> str:
    """It is only counted, so that it matters little how it is written."""
    if not (plain := plain_extension(extension)):
        raise ValueError("is empty, and would count as available")
    return plain


GroupNumber = Annotated[str, AfterValidator(as_compared)]
MemberExtension = Annotated[str, AfterValidator(_member)]


class MonitoredGroup(Section):
    id: GroupNumber = Field(description="the group's number in the phone system", min_length=1, max_length=100)
    name: str = Field("", description="what people call it", max_length=255)
    members: tuple[MemberExtension, ...] | None = Field(
        None, description="a list of extensions, for members.source static; whoever is in it counts as available"
    )
    business_hours: GroupHours | None = Field(None, description="hours of its own, in place of the common ones")


class CallGroups(Section):
    alert_check_interval_minutes: int = Field(
        CHECK_MINUTES.usual,
        ge=CHECK_MINUTES.least,
        le=CHECK_MINUTES.most,
        description="1 to 60 minutes from one look at the groups to the next",
    )
    grace_minutes: int = Field(
        0, ge=0, le=1440, description="0 to 1440: how long a group may be empty before its alert"
    )
    unknown_after: Duration = Field(
        timedelta(minutes=15),
        description="such as 15 minutes: how long nothing may be known of a group before an alert says so",
    )
    remind_after: Duration | None = Field(None, description="such as 1 hour: when webhooks are told again; or null")
    members: Members = Field(NoMembers(), description="source: none, static, database or xapi")
    notify: tuple[Notify, ...] = Field((), description="a list of webhooks, each with type and url")
    monitored_groups: tuple[MonitoredGroup, ...] = Field(
        (), description="a list of groups, each with id and name; a call to one of them carries it as its call group"
    )

    @field_validator("monitored_groups", mode="wrap")
    @classmethod
    def _fit_together(cls, value: Any, handler: ValidatorFunctionWrapHandler, info: ValidationInfo) -> Any:
        """Names what is wrong between groups together with what is wrong within them."""
        is_static = isinstance(info.data.get("members"), StaticMembers)
        between = _mistakes_between(value, is_static=is_static) if isinstance(value, list) else ()
        return with_those_within(between, value, handler)


def _mistakes_between(groups: list[Any], *, is_static: bool) -> Iterator[InitErrorDetails]:
    seen: set[str] = set()
    for place, group in enumerate(groups):
        if not isinstance(group, dict):
            continue
        name = group.get("id")
        if isinstance(name, str):
            if plain_extension(name) in seen:
                yield mistake((place, "id"), name, "stands twice")
            seen.add(plain_extension(name))
        if is_static and group.get("members") is None:
            yield mistake((place, "members"), None, "missing, members.source static needs it")
