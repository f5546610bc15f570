"""What settings do beside holding values: nobody changes or prints them by accident."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from shared.config.call_logger import ApiKeyAuth, BearerAuth, EntraAuth
from shared.config.phone_system import start_moment
from tests.support.factories import make_database, make_settings
from tests.support.settings import parse_settings
from tests.unit.shared.config.reading import read, text_with

PROJECT = Path(__file__).parents[4]


@pytest.mark.parametrize(("engine", "port"), [("sqlserver", 1433), ("mysql", 3306), ("postgresql", 5432)])
def test_the_port_follows_the_engine_unless_it_is_given(engine: str, port: int) -> None:
    assert make_database(engine=engine).effective_port == port
    assert make_database(engine=engine, port="1500").effective_port == 1500


@pytest.mark.parametrize(
    "auth",
    [
        BearerAuth(type="bearer", token="x"),
        ApiKeyAuth(type="api_key", key="x"),
        EntraAuth(type="entra", audience="api://call-logger"),
    ],
    ids=repr,
)
def test_each_kind_of_credentials_can_be_configured(auth: Any) -> None:
    secrets = {key: "x" for key in ("token", "key") if hasattr(auth, key)}
    assert read("api.auth", auth.model_dump() | secrets) == auth


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        make_settings().api.base_url = "https://elsewhere.example.com"


def test_secrets_do_not_show_when_settings_are_printed() -> None:
    webhook = {"type": "slack", "url": "https://hooks.example.com/s3cret?key=s3cret"}
    client = {"source": "xapi", "url": "https://pbx.example.com", "client_id": "a", "client_secret": "s3cret"}
    settings = parse_settings(
        text_with(
            ("3cx.cdr_database.password", "s3cret"),
            ("api.auth", {"type": "api_key", "key": "s3cret"}),
            ("call_groups", {"members": client, "notify": [webhook]}),
        ),
        {},
    )
    assert "s3cret" not in f"{settings!r} {settings}"


@pytest.mark.parametrize(
    ("value", "moment"),
    [
        (datetime.fromisoformat("2026-07-01"), datetime(2026, 6, 30, 22, tzinfo=UTC)),
        (datetime(2026, 7, 1, tzinfo=UTC), datetime(2026, 7, 1, tzinfo=UTC)),
    ],
    ids=["in-the-zone-of-the-database", "with-an-offset-of-its-own"],
)
def test_a_start_date_without_an_offset_is_meant_in_the_zone_of_the_database(value: datetime, moment: datetime) -> None:
    assert start_moment(value, "Europe/Berlin") == moment


def test_the_usual_file_reads_the_rest_api_without_anything_of_a_database() -> None:
    """Also where a lone password or engine of one was left."""
    text = (PROJECT / "config/3cx-config.yml").read_text(encoding="utf-8").replace("  # xapi: {", "  xapi: {")
    known = {"CDR_SOURCE": "xapi", "XAPI_ID": "a", "XAPI_SECRET": "b", "API_BASE_URL": "https://calls.example/api"}
    for left in ({}, {"CDR_DB_PASSWORD": "c"}, {"CDR_DB_ENGINE": "mysql", "CDR_DB_PORT": "3306"}):
        assert parse_settings(text, {**known, **left}, PROJECT).three_cx.cdr_database is None
