"""How to get to a database."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from pydantic import Field, SecretStr, ValidationInfo, field_validator

from shared.config.types import ExistingFile, Section, Zone

Engine = Literal["sqlserver", "mysql", "postgresql", "sqlite"]
DEFAULT_PORTS: Mapping[str, int] = {"sqlserver": 1433, "mysql": 3306, "postgresql": 5432}
TAKE_A_CA_FILE = ("mysql", "postgresql")


class Database(Section):
    """A server, or for sqlite a file."""

    SETTING: ClassVar[str] = "3cx.cdr_database"
    """Where it stands in the configuration file."""

    engine: Engine = Field("sqlserver", description="sqlserver, mysql (MariaDB too), postgresql or sqlite")
    host: str | None = Field(None, description="host name or address; not for sqlite", min_length=1)
    port: int | None = Field(
        None, ge=1, le=65535, description="1 to 65535; default 1433 (sqlserver), 3306 (mysql), 5432 (postgresql)"
    )
    database: str = Field(description="name of the database; for sqlite the path of the file", min_length=1)
    username: str | None = Field(None, description="a login with nothing but SELECT; not for sqlite", min_length=1)
    password: SecretStr | None = Field(None, description="its password; not for sqlite")
    timezone: Zone = Field("UTC", description="IANA time zone of timestamps without offset, for example Europe/Berlin")
    encrypt: bool = Field(True, description="true or false: TLS to the database")
    trust_server_certificate: bool = Field(
        False, description="true or false: true takes any certificate, for a server with a self-signed one"
    )
    ca_file: ExistingFile | None = Field(
        None,
        description="for mysql and postgresql: a file with the certificates to trust; sqlserver takes the system's own",
    )
    statement_timeout_seconds: int = Field(20, ge=1, le=45, description="1 to 45 seconds for one SELECT")

    @field_validator("host", "username", "password")
    @classmethod
    def _a_server_needs_it(cls, value: Any, info: ValidationInfo) -> Any:
        engine = info.data.get("engine", "sqlite")
        if value is None and engine != "sqlite":
            raise ValueError(f"missing, engine {engine} needs it")
        return value

    @field_validator("ca_file")
    @classmethod
    def _some_take_it(cls, value: str | None, info: ValidationInfo) -> str | None:
        if value is not None and info.data.get("engine", "mysql") not in TAKE_A_CA_FILE:
            raise ValueError("cannot be used with this engine")
        return value

    @property
    def effective_port(self) -> int:
        return self.port or DEFAULT_PORTS[self.engine]
