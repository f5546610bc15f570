"""The kinds of values that settings hold, each with its check; and what all sections of the file have in common."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import timedelta
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from typing import Annotated, Any
from zoneinfo import ZoneInfo, available_timezones

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    PlainValidator,
    SecretStr,
    ValidationInfo,
    model_validator,
)

from shared.config.spans import SPAN, span_of
from shared.extensions import plain_extension, without_blanks

LONGEST_LABEL, LONGEST_HOST = 63, 253  # of DNS
HIGHEST_PORT = 65_535
LONGEST_SPAN = timedelta(days=3_650)
"""A few of them before today are still within what databases take for a time."""


@dataclass(frozen=True, slots=True)
class ShownIf:
    """Marks a kind of value that people write a login into: a mistake shows one only if all of it fits the pattern."""

    pattern: str


def types_in(annotation: Any) -> tuple[Any, ...]:
    """A type with all that it is made of: the members of a union, the arguments of a container, marks of a value."""
    inner = (*getattr(annotation, "__args__", ()), *getattr(annotation, "__metadata__", ()))
    return (annotation, *(part for arg in inner for part in types_in(arg)))


_OF_ONE_MACHINE = re.compile(r"(posix|right)/.*|localtime|posixrules|Factory")
"""What some systems have among their zones: those of right/ count leap seconds, and are half a minute off."""


def _zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise ValueError(f"is not a time zone that this system knows{_meant(name)}") from None
    if _OF_ONE_MACHINE.fullmatch(name):
        raise ValueError("is not a time zone of IANA's, but a file that only some systems have")
    return name


def _meant(name: str) -> str:
    alike = name.strip().replace(" ", "_").casefold()
    near = next((zone for zone in sorted(available_timezones()) if zone.casefold() == alike), None)
    return f"; meant {near}?" if near else ""


def _plain_name(name: str) -> str:
    """Of a database or a login.

    :raises ValueError: no server has it, in words that show nothing of it
    """
    if re.search(r"://|(^|;)\s*(pwd|password|server|data source)\s*=", name, re.IGNORECASE):
        raise ValueError("is a whole connection string; write each part of it under its own key, and here the name")
    check_ends(name)
    if not name.isprintable():
        raise ValueError("has a character in it that cannot be seen")
    return name


def check_ends(text: str) -> None:
    """What an environment variable often has that was set in a form, by a script or from a file.

    :raises ValueError: that, in words that show nothing of it
    """
    if text != text.strip():
        raise ValueError("has a blank or a line break at an end; write it without")
    if re.fullmatch(r"([\"']).*\1", text):
        raise ValueError("is in quotes, which are a part of it here; write it without")


def _on_one_line(secret: SecretStr) -> SecretStr:
    """A line break, as files of secrets have at their end, is a wrong password to everybody.

    :raises ValueError: it has one, or what is no text, or nothing but blanks
    """
    if re.fullmatch(r"\s+", secret.get_secret_value()):
        raise ValueError("is nothing but blanks")
    if re.search(r"[\r\n\0\ud800-\udfff]", secret.get_secret_value()):
        raise ValueError("has a line break in it, as files of secrets have at their end, or what is no character")
    return secret


def _host(host: str) -> str:
    """Of a database of any engine."""
    check_ends(host)
    if "\\" in host:
        raise ValueError("names an instance, which is not looked up; write its server as host and its own port as port")
    if re.fullmatch(r"(tcp:)?(\[.*\]|[^:,]+)[:,] *\d+", host):
        raise ValueError("has a port in it; write the port as port")
    if not host.startswith("/"):
        for name in host.removeprefix("tcp:").split(","):
            _check_host_name(name)
    return host


def host_for(engine: str, host: str) -> str:
    """PostgreSQL alone takes several, and the folder of a socket; SQL Server alone a protocol, and names in brackets.
    The brackets that URLs have around an address are for neither of the others.

    :raises ValueError: it is one that the engine's driver would take for a name, and never find
    """
    if engine != "postgresql":
        if host.startswith("/"):
            raise ValueError(f"is a folder, where engine {engine} finds no server; write its name or address")
        if "," in host:
            raise ValueError(f"names several servers, and engine {engine} takes one; write that one")
    if engine != "sqlserver":
        if host.startswith("tcp:"):
            raise ValueError(f"begins with tcp:, which is not for engine {engine}; write the name alone")
        if "(" in host or ")" in host:
            raise ValueError(f"has brackets in it, which are not for engine {engine}; for this machine write localhost")
        return re.sub(r"[\[\]]", "", host)
    return host


def _check_host_name(name: str) -> None:
    """As far as it can be told without asking anybody; what a resolver would refuse is no outage that passes."""
    if ":" in name:
        try:
            IPv6Address(name.removeprefix("[").removesuffix("]"))
        except ValueError:
            raise ValueError("is no host name and no address") from None
        return
    if not re.fullmatch(r"[\w.()-]+", name):
        raise ValueError("is no host name and no address")
    if re.fullmatch(r"(.*\.)?(\d+|0x[0-9a-f]+)\.?", name, re.IGNORECASE):
        _check_ipv4(name)
    labels = name.removesuffix(".").split(".")
    if not all(labels):
        raise ValueError("is no host name: there is nothing between two of its dots, or before the first")
    if not all(_is_label(label) for label in labels):
        raise ValueError(f"is no host name: a part between its dots is longer than the {LONGEST_LABEL} that fit")
    if len(name) > LONGEST_HOST:
        raise ValueError(f"is no host name: it has more than {LONGEST_HOST} characters")


def _check_ipv4(address: str) -> None:
    """What ends with a number can be nothing else."""
    try:
        IPv4Address(address)
    except ValueError:
        raise ValueError("is no address: one has four numbers of 0 to 255, with a dot between them") from None


def _is_label(label: str) -> bool:
    try:
        return len(label if label.isascii() else label.encode("idna")) <= LONGEST_LABEL
    except UnicodeError:  # also too long, in the form that it is looked up in
        return False


def http_url(url: str) -> str:
    """An http or https address without a slash at its end.

    :raises ValueError: for anything else, in words that show nothing of it
    """
    check_ends(url)
    if re.match(r"([a-z]+:)?(//)?[^/?#]*@", url, re.IGNORECASE):
        raise ValueError("has a login in it; write the address without user and password")
    found = re.fullmatch(r"https?://(\[[0-9A-Fa-f:.]+\]|[\w.-]+)(:[0-9]{1,5})?(/[^\s?#\\]*)?", url)
    if found is None or not url.isprintable():
        raise ValueError("is not an http or https address")
    _check_host_name(found[1])
    if found[2] and not 1 <= int(found[2][1:]) <= HIGHEST_PORT:
        raise ValueError(f"is not an http or https address: its port is not in 1 to {HIGHEST_PORT}")
    return url.rstrip("/")


_CREDENTIAL = "(?<![a-z])(sig|signature|(api|access)?key|code|token|secret|pwd|pass|password)"


def _base_url(url: str) -> str:
    """To which paths are added."""
    if "?" in url:
        raise ValueError("is not an http or https address without query")
    found = http_url(url)
    path = found.partition("://")[2].partition("/")[2]
    if re.search(":.*@", path):
        raise ValueError("has a login in its path; write the address without user and password")
    if re.search(rf"[;&][^/;&]*=|{_CREDENTIAL}=", path, re.IGNORECASE):
        raise ValueError("has a parameter in its path; write the address without it")
    return found


def as_compared(written: str) -> str:
    """An extension or a group as rows have it.

    :raises ValueError: no row has it
    """
    plain = plain_extension(written)
    if not plain:
        raise ValueError("is empty, and matches nothing")
    if written != without_blanks(written):
        raise ValueError(f"has a blank at an end, and matches nothing; meant {plain}?")
    if "\0" in plain:
        raise ValueError("has a NUL character in it, and matches nothing")
    if re.search(r"[,;]|^\d+ *(-|–|\.\.+) *\d+$|^\d+\*$", plain):  # noqa: RUF001 - people write ranges with such a dash
        raise ValueError("names several, and matches nothing; write each of them for itself")
    return plain


MAX_EMAIL = 255
_ATOM, _LABEL = r"[\w!#$%&'*+/=?^`{|}~-]+", r"[^\W_]+(-+[^\W_]+)*"


def email_address(address: str) -> str:
    """Not stricter than the Call Logger, and not laxer: it would refuse every call of the person."""
    if not re.fullmatch(rf"(?=[^@]{{1,64}}@){_ATOM}(\.{_ATOM})*@{_LABEL}(\.{_LABEL})+", address):
        raise ValueError("is not an e-mail address")
    return address


def duration(value: Any) -> timedelta:
    """:raises ValueError: it is none, or no calendar reaches so far"""
    span = value if isinstance(value, timedelta) else span_of(str(value))
    if span > LONGEST_SPAN:
        raise ValueError(f"is longer than {LONGEST_SPAN.days} days")
    return span


def _ca_file(path: str, info: ValidationInfo) -> str:
    """A path is meant relative to the app's own folder, which the reader of the file hands in as context."""
    file = Path((info.context or {}).get("root", ".")) / path
    try:
        if file.is_file():
            _check_certificates(file)
            return str(file.resolve())
    except OSError:
        pass
    raise ValueError("is no file that can be read")


def _check_certificates(file: Path) -> None:
    import ssl

    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(file)
    except ssl.SSLError:
        raise ValueError("has no certificates in it that can be read; it must be PEM, which is text") from None


Duration = Annotated[timedelta, PlainValidator(duration, json_schema_input_type=Annotated[str, Field(pattern=SPAN)])]
CaFile = Annotated[str, AfterValidator(_ca_file)]
Name = Annotated[str, Field(min_length=1), AfterValidator(_plain_name)]
Secret = Annotated[SecretStr, AfterValidator(_on_one_line)]
Zone = Annotated[str, AfterValidator(_zone)]
Host = Annotated[
    str,
    Field(min_length=1),
    ShownIf(r"(tcp:)?[\w.,()\\ -]+([:,] *\d{1,5})?|[\[\]0-9A-Fa-f:.]+|/[\w./-]*"),
    AfterValidator(_host),
]
HttpUrl = Annotated[
    str,
    Field(json_schema_extra={"format": "uri"}),
    ShownIf(r"(\w+://)?[\w.-]*(:\d{0,5})?(/[\w./-]*)?"),
    AfterValidator(_base_url),
]
Email = Annotated[
    str, Field(max_length=MAX_EMAIL, json_schema_extra={"format": "email"}), AfterValidator(email_address)
]


class Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True, validate_default=True)

    @model_validator(mode="before")
    @classmethod
    def _empty_is_absent(cls, data: Any) -> Any:
        """A section, list or mapping of which everything is commented out is as good as none."""
        if not isinstance(data, dict):
            return data
        return {key: value for key, value in data.items() if value is not None or not cls.holds_more(key)}

    @classmethod
    def holds_more(cls, key: str) -> bool:
        """Whether a section, list or mapping stands under this key."""
        return any(
            (info.alias or name) == key and any(_is_container(part) for part in types_in(info.annotation))
            for name, info in cls.model_fields.items()
        )


def _is_container(part: Any) -> bool:
    return getattr(part, "__origin__", None) in (tuple, dict) or (isinstance(part, type) and issubclass(part, Section))
