"""How to connect: the newest driver, encrypted and verified unless told otherwise, whatever the password holds."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdr.edges.sql.engines import choose_driver, make_engine, odbc_parts, odbc_string
from shared.errors import SourceMisconfigured
from tests.support.factories import make_database

MICROSOFT = "ODBC Driver 18 for SQL Server"


@pytest.mark.parametrize(
    ("installed", "chosen"),
    [
        pytest.param([MICROSOFT], MICROSOFT, id="microsoft's"),
        pytest.param(["ODBC Driver 17 for SQL Server", MICROSOFT, "FreeTDS"], MICROSOFT, id="the-newest"),
        pytest.param(
            ["ODBC Driver 9 for SQL Server", "ODBC Driver 13 for SQL Server"],
            "ODBC Driver 13 for SQL Server",
            id="by-number",
        ),
        pytest.param(["SQLite3", "FreeTDS"], "FreeTDS", id="freetds-else"),
        pytest.param(
            ["SQL Server", "FreeTDS", "ODBC Driver 13.1 for SQL Server"], "FreeTDS", id="not-the-ancient-ones"
        ),
    ],
)
def test_the_newest_driver_of_microsoft_is_chosen_else_freetds(installed: list[str], chosen: str) -> None:
    assert choose_driver(installed) == chosen


@pytest.mark.parametrize("installed", [[], ["SQLite3", "PostgreSQL Unicode"]])
def test_without_a_driver_the_setting_is_named(installed: list[str]) -> None:
    with pytest.raises(SourceMisconfigured, match=r"^3cx\.cdr_database\.engine: no ODBC driver for SQL Server"):
        choose_driver(installed)


@pytest.mark.parametrize(
    ("configured", "encrypt", "trust"),
    [
        ({}, "yes", "no"),
        ({"trust_server_certificate": True}, "yes", "yes"),
        ({"encrypt": False}, "no", "no"),
    ],
)
def test_microsofts_driver_encrypts_and_verifies_as_configured(
    configured: dict[str, bool], encrypt: str, trust: str
) -> None:
    assert odbc_parts(make_database(port=1500, **configured), MICROSOFT) == {
        "DRIVER": MICROSOFT,
        "SERVER": "pbx.example.internal,1500",
        "DATABASE": "cdr",
        "UID": "cdr_reader",
        "PWD": "s3cret",
        "Encrypt": encrypt,
        "TrustServerCertificate": trust,
    }


@pytest.mark.parametrize(
    ("configured", "encryption"),
    [
        ({"trust_server_certificate": True}, "require"),
        ({"encrypt": False}, "off"),
        ({"encrypt": False, "trust_server_certificate": True}, "off"),
    ],
)
def test_freetds_has_its_own_keywords(configured: dict[str, bool], encryption: str) -> None:
    parts = odbc_parts(make_database(**configured), "FreeTDS")
    assert (parts["SERVER"], parts["PORT"], parts["Encryption"]) == ("pbx.example.internal", "1433", encryption)
    assert (parts["TDS_Version"], parts["ClientCharset"]) == ("7.4", "UTF-8")
    assert not parts.keys() & {"Encrypt", "TrustServerCertificate"}


def test_freetds_does_not_pretend_to_verify_a_certificate() -> None:
    with pytest.raises(
        SourceMisconfigured, match=r"^3cx\.cdr_database\.trust_server_certificate: FreeTDS cannot verify"
    ):
        odbc_parts(make_database(), "FreeTDS")


def _parsed(text: str) -> dict[str, str]:
    """A connection string as ODBC says it is to be read: a value in braces, a closing one within it doubled."""
    found = re.findall(r"(\w+)=\{((?:[^}]|\}\})*)\};", text)
    assert "".join(f"{key}={{{value}}};" for key, value in found) == text
    return {key: value.replace("}}", "}") for key, value in found}


PASSWORDS = st.text(max_size=20) | st.text("{}; =PWD", max_size=20)


@given(PASSWORDS)
def test_no_password_can_end_its_value_or_add_a_keyword(password: str) -> None:
    parts = odbc_parts(make_database(password=password), MICROSOFT)
    assert _parsed(odbc_string(parts)) == parts


@given(PASSWORDS)
def test_freetds_reads_a_password_up_to_the_first_closing_brace_and_semicolon(password: str) -> None:
    parts = odbc_parts(make_database(password=password, trust_server_certificate=True), "FreeTDS")
    try:
        text = odbc_string(parts)
    except SourceMisconfigured:
        assert "};" in password
        return
    assert dict(re.findall(r"(\w+)=\{(.*?)\};", text, re.DOTALL)) == parts


def test_a_password_that_freetds_cannot_read_is_not_shown() -> None:
    parts = odbc_parts(make_database(password="hunter2};UID={sa", trust_server_certificate=True), "FreeTDS")
    with pytest.raises(SourceMisconfigured, match=r"^3cx\.cdr_database\.password: ") as caught:
        odbc_string(parts)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("engine", "dialect"),
    [("sqlserver", "mssql"), ("mysql", "mysql"), ("postgresql", "postgresql"), ("sqlite", "sqlite")],
)
def test_an_engine_is_made_without_connecting(engine: str, dialect: str) -> None:
    made = make_engine(make_database(engine=engine, host="127.0.0.1", port=1))
    assert made.dialect.name == dialect
