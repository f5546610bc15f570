"""What can be configured about whose extension is whose, beside the mapping that stands in the file itself."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from shared.config.phone_system import Database, Engine
from shared.config.types import Section


class NoExtensions(Section):
    """There is nothing but the file's own mapping."""

    source: Literal["none"] = Field("none", description="none")


class ExtensionDatabase(Database):
    SETTING: ClassVar[str] = "extension_mapping_from.database"

    engine: Engine = Field("postgresql", description="postgresql, mysql (MariaDB too), sqlserver or sqlite")


class DatabaseExtensions(Section):
    source: Literal["database"] = Field(description="database: the phone system's own, or any with a SELECT for it")
    database: ExtensionDatabase | None = Field(
        None,
        description="how to get there: the settings of 3cx.cdr_database, but by default with the engine postgresql; if "
        "not given, it is 3cx.cdr_database itself",
    )
    select: str = Field(
        "3cx-v20",
        min_length=1,
        description="name of a file in config/directory without .sql, or the path of a file of your own: the SELECT "
        "that yields extension and email",
    )


class XapiExtensions(Section):
    source: Literal["xapi"] = Field(description="xapi: the REST API of 3CX V20, as 3cx.xapi names it")


ExtensionsFrom = Annotated[NoExtensions | DatabaseExtensions | XapiExtensions, Field(discriminator="source")]
