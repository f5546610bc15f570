"""How to connect: the newest driver, encrypted and verified unless told otherwise, whatever the password holds."""

from __future__ import annotations

import re

import pytest
import requests.certs
from hypothesis import given
from hypothesis import strategies as st

from cdr.edges.sql.engines import make_engine
from cdr.edges.sql.postgresql import libpq_tls
from cdr.edges.sql.sqlserver import choose_driver, odbc_parts, odbc_string
from cdr.edges.sql.timeouts import USUAL
from shared.errors import SourceMisconfigured
from tests.support.factories import make_database

SETTING = "3cx.cdr_database"
BUNDLE = requests.certs.where()
MICROSOFT = "ODBC Driver 18 for SQL Server"
OLDER = ["ODBC Driver 9 for SQL Server", "ODBC Driver 13 for SQL Server"]


@pytest.mark.parametrize(
    ("installed", "chosen"),
    [
        pytest.param([*OLDER, MICROSOFT, "FreeTDS"], MICROSOFT, id="the-newest-of-microsoft"),
        pytest.param(OLDER, OLDER[1], id="by-number"),
        pytest.param(["SQLite3", "SQL Server", "ODBC Driver 13.1 for SQL Server", "FreeTDS"], "FreeTDS", id="freetds"),
    ],
)
def test_the_newest_driver_of_microsoft_is_chosen_else_freetds(installed: list[str], chosen: str) -> None:
    assert choose_driver(installed, SETTING) == chosen


@pytest.mark.parametrize("installed", [[], ["SQLite3", "PostgreSQL Unicode"]])
def test_without_a_driver_the_setting_is_named(installed: list[str]) -> None:
    with pytest.raises(SourceMisconfigured, match=r"^3cx\.cdr_database\.engine: no ODBC driver .* \(Microsoft's or Fr"):
        choose_driver(installed, SETTING)


@pytest.mark.parametrize(
    ("configured", "encrypt", "trust"),
    [({}, "yes", "no"), ({"trust_server_certificate": True}, "yes", "yes"), ({"encrypt": False}, "no", "no")],
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
    ("configured", "encryption"), [({"trust_server_certificate": True}, "require"), ({"encrypt": False}, "off")]
)
def test_freetds_has_its_own_keywords(configured: dict[str, bool], encryption: str) -> None:
    assert odbc_parts(make_database(**configured), "FreeTDS") == {
        "DRIVER": "FreeTDS",
        "SERVER": "pbx.example.internal",
        "PORT": "1433",
        "DATABASE": "cdr",
        "UID": "cdr_reader",
        "PWD": "s3cret",
        "Encryption": encryption,
        "TDS_Version": "7.4",
        "ClientCharset": "UTF-8",
    }


def test_freetds_does_not_pretend_to_verify_a_certificate() -> None:
    with pytest.raises(SourceMisconfigured, match=r"^3cx\.cdr_database\.trust_server_certificate: FreeTDS cannot"):
        odbc_parts(make_database(), "FreeTDS")


PASSWORDS = (
    st.text(st.characters(codec="utf-8", exclude_characters="\r\n\0"), max_size=20) | st.text("{}; =PWD", max_size=20)
).filter(lambda text: not text or text.strip())
MICROSOFTS = r"(\w+)=\{((?:[^}]|\}\})*)\};"
"""How a connection string is to be read: a value in braces, a closing one within it doubled."""
FREETDSS = r"(\w+)=\{(.*?)\};"


@given(PASSWORDS)
def test_no_password_can_end_its_value_or_add_a_keyword(password: str) -> None:
    parts = odbc_parts(make_database(password=password), MICROSOFT)
    text = odbc_string(parts, SETTING)
    assert re.fullmatch(f"({MICROSOFTS})*", text)
    assert {key: value.replace("}}", "}") for key, value in re.findall(MICROSOFTS, text)} == parts


@given(PASSWORDS)
def test_freetds_is_refused_a_password_that_it_would_read_otherwise(password: str) -> None:
    parts = odbc_parts(make_database(password=password, encrypt=False), "FreeTDS")
    if "};" in password:
        with pytest.raises(SourceMisconfigured, match=r"^3cx\.cdr_database\.password: "):
            odbc_string(parts, SETTING)
    else:
        assert dict(re.findall(FREETDSS, odbc_string(parts, SETTING), re.DOTALL)) == parts


def test_a_password_that_freetds_cannot_read_is_not_shown() -> None:
    with pytest.raises(SourceMisconfigured) as caught:
        odbc_string(odbc_parts(make_database(password="hunter2};UID={sa", encrypt=False), "FreeTDS"), SETTING)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("configured", "system", "told"),
    [
        ({"encrypt": False}, "", {"sslmode": "disable"}),
        ({"trust_server_certificate": True}, "", {"sslmode": "require"}),
        ({"ca_file": BUNDLE}, "/nowhere.pem", {"sslmode": "verify-full", "sslrootcert": BUNDLE}),
        ({}, __file__, {"sslmode": "verify-full", "sslrootcert": __file__}),
        ({}, "/nowhere.pem", {"sslmode": "verify-full", "sslrootcert": BUNDLE}),
    ],
    ids=["not encrypted", "not verified", "by a file", "by the system's", "by those that come with requests"],
)
def test_postgresql_is_encrypted_and_verified_as_configured(
    configured: dict[str, object], system: str, told: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", system)
    assert libpq_tls(make_database(engine="postgresql", **configured)) == told


@pytest.mark.parametrize(
    ("engine", "dialect"),
    [("sqlserver", "mssql"), ("mysql", "mysql"), ("postgresql", "postgresql"), ("sqlite", "sqlite")],
)
def test_an_engine_is_made_without_connecting(engine: str, dialect: str) -> None:
    assert make_engine(make_database(engine=engine, host="127.0.0.1", port=1), USUAL).dialect.name == dialect
