"""What each setting takes, and what it refuses: the path, what is written there, and what comes of it."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from datetime import time as clock
from typing import Any

import certifi
import pytest
from hypothesis import given
from hypothesis import strategies as st

from local.call_logger.rules import is_email
from shared.config.call_logger import BearerAuth
from shared.config.groups import DatabaseMembers, StaticMembers, XapiMembers
from shared.errors import InvalidConfig
from tests.support.settings import parse_settings
from tests.unit.shared.config.reading import at, mistake, mistakes, read, text_with

BUNDLE = certifi.where()
START, WAIT, TIMEOUT, URL = "3cx.start_from", "3cx.gap_wait", "api.timeout_seconds", "api.base_url"
DATABASE, HOST, ZONE = "3cx.cdr_database", "3cx.cdr_database.host", "3cx.cdr_database.timezone"
TEMPLATE, REGION, DIGITS = "calls.pbx_call_id", "calls.default_region", "calls.internal_number_digits"
EMAIL, MAPPING = "a@x.example", "extension_mapping"
MAPPED, MONDAY, HOLIDAYS = "extension_mapping.101", "business_hours.monday", "business_hours.holidays"
GROUPS, MEMBERS, NOTIFY = "call_groups.monitored_groups", "call_groups.members", "call_groups.notify"
LOGIN = {"host": "h", "database": "d", "username": "u", "password": "p"}
THREE_CX = {"cdr_database": LOGIN, "xapi": {"url": "https://pbx.example.com", "client_id": "a", "client_secret": "b"}}
XAPI = {"source": "xapi", "url": "https://pbx.example.com:5001/", "client_id": "a", "client_secret": "s3cret"}


def span(start: str, end: str, **more: Any) -> dict[str, Any]:
    return {"start": start, "end": end, **more}


TAKEN = [
    (START, "beginning", "beginning"),
    (START, "now", "now"),
    (START, "4711", 4711),
    (START, "20263145", 20263145),  # no day has this date
    (START, "10000101", 10000101),  # nor a phone system this year
    (START, "020261101", 20261101),
    (START, "9223372036854775807", 2**63 - 1),
    (START, "2026-11-01 08:30", datetime.fromisoformat("2026-11-01 08:30")),
    (START, "2026-11-01T08:30:00Z", datetime(2026, 11, 1, 8, 30, tzinfo=UTC)),
    (WAIT, "1 minute", timedelta(minutes=1)),
    (WAIT, "90s", timedelta(seconds=90)),
    (WAIT, "24 h", timedelta(days=1)),
    (WAIT, " 7 days ", timedelta(days=7)),
    (TIMEOUT, "2.5", 2.5),
    (TIMEOUT, "1000", 1),  # of the earlier integration, in milliseconds
    (TIMEOUT, 60000, 60),
    (URL, "http://localhost:8080/api", "http://localhost:8080/api"),
    (URL, "https://calls.example.com/api/", "https://calls.example.com/api"),
    (URL, "https://[::1]:8443", "https://[::1]:8443"),
    (URL, "https://bücher.example/@me", "https://bücher.example/@me"),
    (URL, "https://a/v1;beta/monkey=5/api", "https://a/v1;beta/monkey=5/api"),
    (HOST, "pbx", "pbx"),
    (HOST, "10.0.0.7", "10.0.0.7"),
    (HOST, "pbx_1.example.com.", "pbx_1.example.com."),
    (HOST, f"{'a' * 63}.example", f"{'a' * 63}.example"),
    (HOST, "a." * 126 + "a", "a." * 126 + "a"),
    (HOST, "::1", "::1"),
    (HOST, "tcp:pbx", "tcp:pbx"),
    (HOST, "(local)", "(local)"),
    (HOST, "[::1]", "[::1]"),
    (ZONE, "America/Anchorage", "America/Anchorage"),
    (TEMPLATE, "{call_id}", "{call_id}"),
    (TEMPLATE, "3cx:{id}", "3cx:{id}"),
    (TEMPLATE, "{id}.{call_id}", "{id}.{call_id}"),
    (TEMPLATE, "{id}{id}", "{id}{id}"),
    (TEMPLATE, "x" * 81 + "{id}", "x" * 81 + "{id}"),  # 100 characters with the highest id
    ("api.auth", {"type": "bearer", "token": "bearer-of-it"}, BearerAuth(type="bearer", token="bearer-of-it")),
    ("calls.anonymous_number", " withheld ", "withheld"),
    (WAIT, "3650 days", timedelta(days=3650)),
    (f"{DATABASE}.username", r"DOMAIN\svc$", r"DOMAIN\svc$"),
    (REGION, "GB", "GB"),
    (f"{DIGITS}.max", "2", 2),  # not below min
    (MAPPED, "o'neil+x@ex-ample.org", "o'neil+x@ex-ample.org"),
    (MAPPED, "jürgen@bücher.example", "jürgen@bücher.example"),
    (MAPPING, {"Ext.101": EMAIL, "\uff11\uff10\uff12": EMAIL, "101": EMAIL}, {"101": EMAIL, "102": EMAIL}),
    (MAPPING, {"0101": EMAIL, "desk": EMAIL}, {"0101": EMAIL, "desk": EMAIL}),
    (f"{HOLIDAYS}.dates", ["2026-12-24"], (date(2026, 12, 24),)),
    (HOLIDAYS + ".country", "AT", "AT"),
]


@pytest.mark.parametrize(("path", "written", "held"), TAKEN, ids=lambda value: f"{value!r:.40}")
def test_what_a_setting_takes(path: str, written: Any, held: Any) -> None:
    assert read(path, written) == held


RANGES = ("101,102", "101; 102", "101-105", "101 \u2013 105", "101..105", "10*")
NO_URL = ": holds ***: is not an http or https address"
NO_NAME = "is no host name: "
NO_SPAN = "is no number above 0 with a unit"
MADE_OF = "must be made of {call_id} and {id}"
REFUSED = [
    # An id, a day, or which of them?
    (START, "20261101", ": holds '20261101': is it a day or an id? write 2026-11-01 for a day, 020261101 for the id"),
    (START, "19991231", ": holds '19991231': is it a day or an id? write 1999-12-31 for a day"),
    (START, "24122026", ": holds '24122026': is it a day or an id? write 2026-12-24 for a day"),
    (START, "12242026", ": holds '12242026': is it a day or an id? write 2026-12-24 for a day"),
    (START, "202611010830", ": holds '202611010830': is it a day or an id?"),
    (START, "9999999999999999999", ": holds '9999999999999999999': is no id: the highest is 9223372036854775807"),
    (START, "9" * 5000, f": holds '{'9' * 79}: is no id"),
    (START, "0001-01-01", ": holds '0001-01-01': is at the end of the calendar"),
    *((START, written, ": ") for written in ("yesterday", "2026-13-01", "1.5", "", None, "1/11/2026", ["now"])),
    # Numbers with a unit or a bound
    *((WAIT, written, ": ") for written in ("0 minutes", "-1 hours", "1.5 h", "a week", "", None, "3 months", [])),
    (WAIT, "15", f": holds '15': {NO_SPAN}; allowed: such as 15 minutes"),
    (WAIT, "1000000 days", f": holds '1000000 days': {NO_SPAN}"),
    (WAIT, "999999 days", ": holds '999999 days': is longer than 3650 days"),
    *((TIMEOUT, written, ": ") for written in ("0", "61", "999", "60001", "nan", "inf", "-1000", "soon", None)),
    (f"{DATABASE}.port", "0", ": holds '0'"),
    (f"{DATABASE}.port", "65536", ": holds '65536'"),
    ("call_groups.alert_check_interval_minutes", "61", ": holds '61'"),
    ("call_groups.grace_minutes", "-1", ": holds '-1'"),
    ("call_groups.remind_after", "0 hours", ": holds '0 hours'"),
    ("3cx.polling_interval_seconds", "30 s", ": holds '30 s': must be a whole number; allowed: 5 to 3600 seconds"),
    ("3cx.polling_interval_seconds", "4", ": holds '4': must be at least 5; "),
    ("api.timeout_seconds", "soon", ": holds 'soon': must be a number; "),
    (f"{DATABASE}.encrypt", "strict", ": holds 'strict': must be true or false; "),
    (NOTIFY, {"type": "json"}, ": must be a list; allowed: a list of webhooks"),
    (DIGITS, {"min": 4, "max": 3}, ".max: holds '3': is below min"),
    # Addresses; what may be a login is not shown
    (HOST, r"SRV\SQLEXPRESS", r": holds 'SRV\\SQLEXPRESS': names an instance, which is not looked up"),
    (HOST, r".\SQLEXPRESS,1433", r": holds '.\\SQLEXPRESS,1433': names an instance"),
    (HOST, "pbx:1433", ": holds 'pbx:1433': has a port in it; write the port as port"),
    (HOST, "tcp:pbx, 1433", ": holds 'tcp:pbx, 1433': has a port in it"),
    (HOST, "[::1]:5432", ": holds '[::1]:5432': has a port in it"),
    (HOST, "pbx..example.com", f": holds 'pbx..example.com': {NO_NAME}there is nothing between two of its dots"),
    (HOST, ".example.com", f": holds '.example.com': {NO_NAME}there is nothing"),
    (HOST, "a" * 64, f": holds '{'a' * 64}': {NO_NAME}a part between its dots is longer than the 63 that fit"),
    (HOST, "ü" * 60, f": holds '{'ü' * 60}': {NO_NAME}a part between its dots is longer"),
    (HOST, "a." * 127 + "a", f": holds '{'a.' * 39}a: {NO_NAME}it has more than 253 characters"),
    *(
        (HOST, host, f": holds '{host}': is no address: one has")
        for host in ("999.1.1.1", "10.1", "1433", "0x7F000001")
    ),
    (URL, "https://10.0.0.256/api", ": holds 'https://10.0.0.256/api': is no address: one has four numbers"),
    (URL, "https://a/a\x07pi", NO_URL),
    (URL, "https://a\\api", NO_URL),
    (HOST, "pbx example", ": holds 'pbx example': is no host name and no address"),
    (HOST, "fe80::x", ": holds ***: is no host name and no address"),
    (HOST, "user:hunter2@pbx", ": holds ***: is no host name and no address"),
    (HOST, "Server=pbx;PWD=hunter2", ": holds ***: is no host name and no address"),
    (HOST, "", ": holds ***: must have at least 1 character"),
    (URL, "calls.example.com/api", ": holds 'calls.example.com/api': is not an http or https address; allowed"),
    (URL, "https://", ": holds 'https://': is not an http or https address"),
    (URL, "https://a:99999/api", ": holds 'https://a:99999/api': is not an http or https address: its port"),
    (URL, "https://a..b/api", f": holds 'https://a..b/api': {NO_NAME}there is nothing between"),
    (URL, f"https://{'a' * 64}/api", f": holds 'https://{'a' * 64}/api': {NO_NAME}a part"),
    (URL, "https://a b/api", NO_URL),
    (URL, "https://a/api?code=hunter2", f"{NO_URL} without query"),
    (URL, "http://user:hunter2", NO_URL),
    (URL, "http://a/user:hunter2@b", ": holds ***: has a login in its path; write the address without user and"),
    (URL, "http://a/user:hun/ter2hunter2@b", ": holds ***: has a login in its path"),
    *(
        (URL, f"https://a/api{more}=hunter2", ": holds ***: has a parameter in its path")
        for more in (";sig", "&a", "/key")
    ),
    (URL, "http://user:hunt/er2@host/api", NO_URL),
    *((URL, f"{start}user:hunter2@host/api", ": holds ***: has a login in it") for start in ("http://", "HTTP://", "")),
    (MEMBERS, XAPI | {"url": "https://hunter2@pbx.example"}, ".url: holds ***: has a login in it"),
    (MEMBERS, XAPI | {"url": "pbx"}, ".url: holds 'pbx': is not an http or https address"),
    (NOTIFY, [{"type": "slack", "url": "https://u:hunter2@x.example/y?z=1"}], ".0.url: holds ***: has a login in it"),
    (NOTIFY, [{"type": "slack", "url": "https://a..b/hunter2"}], f".0.url: holds ***: {NO_NAME}"),
    (NOTIFY, [{"type": "teams", "url": "ftp://x.example"}], ".0.url: holds ***: is not an http or https address"),
    (f"{DATABASE}.engine", "mysql://u:hunter2@pbx/cdr", ": holds ***: "),
    (f"{DATABASE}.encrypt", "no; Password=hunter2", ": holds ***: "),
    (
        NOTIFY,
        [{"type": "json", "url": "https://a/?sig=hunter2\n"}],
        ".0.url: holds ***: is not an http or https address",
    ),
    # As forms, scripts and files leave them
    (HOST, "pbx ", ": holds 'pbx ': has a blank or a line break at an end; write it without"),
    (HOST, "  ", ": holds '  ': has a blank"),
    (HOST, '"pbx"', ": holds ***: is in quotes, which are a part of it here"),
    (URL, "https://x.example/api\n", ": holds ***: has a blank"),
    (URL, "'https://x.example/api'", ": holds ***: is in quotes"),
    ("api.auth", {"type": "bearer", "token": '"hunter2"'}, ".token: holds ***: is in quotes"),
    # Names and passwords, of which no error of a server shall have to tell
    *(
        (f"{DATABASE}.{name}", text, ": holds ***: is a whole connection string; write each part of it under its own")
        for name in ("database", "username")
        for text in ("postgres://u:hunter2@h/db", "Server=h;Database=d;PWD=hunter2", "a;Password = hunter2")
    ),
    *((f"{DATABASE}.database", text, ": holds ") for text in (" cdr", "cdr\n", "c\0dr", "\u200bcdr", '"cdr"', "'cdr'")),
    *((f"{DATABASE}.password", text, ": holds ***: has a line break in it") for text in ("hunter2\n", "a\r\nb", "a\0")),
    (MEMBERS, XAPI | {"client_secret": "hunter2\n"}, ".client_secret: holds ***: has a line break in it"),
    (f"{DATABASE}.password", " \t", ": holds ***: is nothing but blanks"),
    (MEMBERS, XAPI | {"client_secret": ""}, ".client_secret: holds ***: "),
    # Time zones and files
    (ZONE, "europe/berlin", ": holds 'europe/berlin': is not a time zone that this system knows; meant Europe/Berlin?"),
    (
        ZONE,
        "America/New York ",
        ": holds 'America/New York ': is not a time zone that this system knows; meant America",
    ),
    *(
        (ZONE, name, f": holds '{name}': is not a time zone")
        for name in ("right/UTC", "posix/UTC", "localtime", "Factory")
    ),
    *((ZONE, written, ": holds ") for written in ("Europe", "Nowhere", "", "CET Time", "../../etc/passwd", "a" * 5000)),
    ("business_hours.timezone", "a\0b", r": holds 'a\x00b': is not a time zone that this system knows; allowed: IANA"),
    *(("api.ca_file", path, ": holds ") for path in ("missing.pem", ".", "a" * 3000, "a\0b")),
    (f"{DATABASE}.ca_file", BUNDLE, f": holds '{BUNDLE:.79}"),
    ("api.ca_file", __file__, f": holds '{__file__:.79}': has no certificates in it that can be read; it must be PEM"),
    # Calls
    (TEMPLATE, "{call_id}{id}", ": holds '{call_id}{id}': would merge calls: something other than digits must stand"),
    (TEMPLATE, "x-{id}0{call_id}", ": holds 'x-{id}0{call_id}': would merge calls"),
    (TEMPLATE, "call", f": holds 'call': {MADE_OF}; without either, all calls would have one key"),
    *((TEMPLATE, t, f": holds '{t}': {MADE_OF}") for t in ("", "{}", "{call}", "{id", "id}", "{0}", "{id}{{x}}")),
    *((TEMPLATE, t, f": holds '{t}': {MADE_OF}") for t in ("{id:05d}", "{call_id!r}", "{id.real}", "{{id}}")),
    (TEMPLATE, "{id}\0", f": holds '{{id}}\\x00': {MADE_OF}"),
    (TEMPLATE, "x" * 82 + "{id}", f": holds '{'x' * 79}: can make a key of 101 characters, of which the Call"),
    (TEMPLATE, "{call_id}{call_id}{call_id}", ": holds '{call_id}{call_id}{call_id}': can make a key of 120"),
    (REGION, "UK", ": holds 'UK': is no region whose numbers are known; meant GB?; allowed: two capital letters"),
    (REGION, "XX", ": holds 'XX': is no region whose numbers are known; allowed"),
    *((REGION, written, f": holds '{written}'") for written in ("us", "USA", "", "1")),
    ("calls", {"phone_format": "e164"}, ".default_region: missing, phone_format e164 needs it; allowed: two capital"),
    ("calls", {"owner": "each", "pbx_call_id": "{call_id}"}, ".owner: holds 'each': would give the entries of a call"),
    ("3cx", {"source": "v20"}, ".cdr_database: missing, source v20 needs it"),
    ("3cx", {"source": "xapi"}, ".xapi: missing, source xapi needs it"),
    # What would have no effect
    *(
        (
            "3cx",
            THREE_CX | {"source": source, name: value},
            f".{name}: holds '{value}': has no effect on source {source}",
        )
        for source, name, value in (
            ("calllog", "replica_delay", "5 minutes"),
            ("v18", "replica_delay", "5 minutes"),
            ("v20", "settle_seconds", "5"),
            ("v18", "schema", "own.sql"),
            ("xapi", "schema", "own.sql"),
        )
    ),
    *(
        (DATABASE, LOGIN | {"engine": "mysql", "ca_file": BUNDLE, name: value}, f".ca_file: holds '{BUNDLE:.79}")
        for name, value in (("trust_server_certificate", "true"), ("encrypt", "false"))
    ),
    # Files of SELECTs
    ("3cx.schema", "mine", ": holds 'mine': is no file that is there; known names: calllog; allowed: the SELECT"),
    *(
        ("3cx.schema", name, f": holds {name!r:.80}: is no file")
        for name in ("calllog.sql", "config", "a\0b", "a" * 3000)
    ),
    ("3cx.schema", "SELECT * FROM c WHERE pwd=hunter2", ": holds ***: is no file that is there"),
    (
        "3cx",
        THREE_CX | {"source": "v20", "schema": "own"},
        ".schema: holds 'own': is no file that is there; known names: v18",
    ),
    ("calls.anonymous_number", "  ", ": holds '  '"),
    ("calls.anonymous_number", "\u200b", r": holds '\u200b': has nothing in it that can be seen"),
    # Credentials
    ("api.auth", {"token": "x"}, ": must have the key type; allowed: type: none, bearer"),
    ("api.auth", {"type": "basic"}, ": its type is 'basic' and must be one of 'none', "),
    ("api.auth", {"type": "bearer"}, ".token: missing; allowed: the token, sent as Authorization: Bearer"),
    ("api.auth", {"type": "bearer", "token": "x", "audience": "y"}, ".audience: unknown key; the nearest known one is"),
    ("api.auth", {"type": "bearer", "token": "x", "bearer": "y"}, ".bearer: unknown key; the nearest known one"),
    ("api.auth", {"type": "api_key", "key": "x", "header": "a b"}, ".header: holds 'a b': has not the form"),
    ("api.auth", {"type": "bearer", "token": "hunter2\n"}, ".token: holds ***: is empty, or has a blank or line break"),
    ("api.auth", {"type": "bearer", "token": ["hunter2"]}, ".token: must be text"),
    ("api.auth", {"type": "bearer", "token": "Bearer hunter2"}, ".token: holds ***: begins with a word that is put"),
    ("api.auth", {"type": "api_key", "key": "x", "header": "Host"}, ".header: holds 'Host': is a header that each"),
    *(
        ("api.auth", {"type": "entra", "audience": a}, ".audience: holds ")
        for a in (" ", "api://x y", "api://x/.default")
    ),
    ("api.auth", "hunter2", ": holds ***: "),
    (DATABASE, "mysql://u:hunter2@pbx/cdr", ": holds ***: "),
    ("3cx", "Server=pbx;PWD=hunter2", ": holds ***: "),
    ("ledger", "long", ": holds 'long': must be a section of keys with values; allowed: how long"),
    *(("reconcile.every", text, f": holds '{text}': is no number above 0") for text in ("daily", "Never", "0 hours")),
    *(("reconcile.every", text, f": holds '{text}': is not within 1 hour and 1 day") for text in ("59m", "2 days")),
    ("reconcile.days", "32", ": holds '32': must be at most 31"),
    # E-mail addresses
    *((MAPPED, written, ": holds ") for written in ("alice", "alice@", "@x.example", "a@example", "a@b@x.example")),
    *((MAPPED, written, ": holds ") for written in ("a b@x.example", "a..b@x.example", ".a@x.example", "a.@x.example")),
    *((MAPPED, written, ": holds ") for written in ("a@-x.example", "a@exa_mple.com", f"{'a' * 65}@x.example")),
    (MAPPED, f"a@{'b' * 260}.de", ": holds "),
    # Extensions
    (
        MAPPING,
        {" 101": EMAIL},
        ": ' 101' has a blank at an end, and matches nothing; meant 101?; allowed: extension: e",
    ),
    (MAPPING, {"Ext.101\n": EMAIL}, r": 'Ext.101\n' has a blank at an end, and matches nothing; meant 101?"),
    (MAPPING, {"": EMAIL}, ": '' is empty, and matches nothing"),
    (MAPPING, {"1" * 21: EMAIL}, f": '{'1' * 21}' is no extension: it has more than 20 characters, and matches"),
    (MAPPING, {"1\0": EMAIL}, r": '1\x00' has a NUL character in it"),
    *((MAPPING, {text: EMAIL}, f": '{text}' names several, and matches nothing") for text in RANGES),
    (MAPPING, {"101": EMAIL, "Ext.101": "b@x.example"}, ": 'Ext.101' is 101, which has another address"),
    # Hours
    (MONDAY, span("17:00", "08:00"), ".end: holds '08:00': is not after start; a span over midnight needs overnight"),
    (MONDAY, span("08:00", "08:00"), ".end: holds '08:00': is not after start"),
    (MONDAY, span("08:00", "17:00", overnight=True), ".end: holds '17:00': is after start, so the span"),
    (MONDAY, span("08:00", "24:00", overnight="yes"), ".end: holds '24:00': is the end of the day itself"),
    (MONDAY, span("24:00", "23:00"), ".start: holds '24:00': is no time of the form hh:mm; allowed: hh:mm"),
    *((MONDAY, span("8:00", end), f".end: holds '{end}': is no time") for end in ("eight", "17:00Z", "1020", "24:01")),
    (MONDAY, [span("08:00", "12:00"), span("17:00", "13:00")], ".1.end: holds '13:00': is not after start"),
    (MONDAY, [span("08:00", "12:00"), span("11:59", "13:00")], ": two of its spans overlap; allowed: a span with"),
    (MONDAY, [span("22:00", "06:00", overnight=True), span("23:00", "23:30")], ": two of its spans overlap"),
    (MONDAY, {"start": "08:00"}, ".end: missing; allowed: hh:mm, after start"),
    (MONDAY, [{"end": "17:00"}], ".0.start: missing; allowed: hh:mm"),
    (MONDAY, span("08:00", "17:00", stop="18:00"), ".stop: unknown key; the nearest known one is start"),
    (MONDAY, [span("08:00", "17:00", overnigth="1")], ".0.overnigth: unknown key; the nearest known one is overnight"),
    *(
        (f"{HOLIDAYS}.dates", [day], f".0: holds '{day}': is no day of the form")
        for day in ("0", "20261224", "24.12.2026")
    ),
    (DATABASE, LOGIN | {"server": "h"}, ".server: unknown key; the nearest known one is host"),
    ("api.url", "https://x.example", ": unknown key; the nearest known one is base_url"),
    ("business_hours.moonday", None, ": unknown key; the nearest known one is monday"),
    (HOLIDAYS, {"country": "XX", "subdivision": "AK"}, ".country: holds 'XX': is no country whose holidays are known"),
    (HOLIDAYS, {"country": "us"}, ".country: holds 'us': has not the form that is allowed; allowed: two"),
    (HOLIDAYS, {"country": "AT", "subdivision": "AK"}, ".subdivision: holds 'AK': is no subdivision of AT"),
    (HOLIDAYS, {"subdivision": "AK"}, ".subdivision: holds 'AK': needs country"),
    (HOLIDAYS, {"dates": ["2026-12-24", "2026-13-01"]}, ".dates.1: holds '2026-13-01': "),
    # Groups
    (GROUPS, [{"id": "800"}, {"id": "801"}, {"id": "800"}], ".2.id: holds '800': stands twice"),
    (GROUPS, [{"id": ["800", "801"]}], ".0.id: must be text"),
    (GROUPS, [{"id": {"a": "b"}}], ".0.id: must be text"),
    (GROUPS, [{"name": "Sales"}], ".0.id: missing; allowed: the group's number in the phone system"),
    (GROUPS, [{"id": ""}], ".0.id: holds '': "),
    (GROUPS, [{"id": " 800"}], ".0.id: holds ' 800': has a blank at an end, and matches nothing; meant 800?"),
    (GROUPS, [{"id": " "}], ".0.id: holds ' ': is empty"),
    (GROUPS, [{"id": "800"}, {"id": "Ext.800"}], ".1.id: holds 'Ext.800': stands twice"),
    (GROUPS, [{"id": "800", "members": ["101", " "]}], ".0.members.1: holds ' ': is empty, and would count as"),
    (GROUPS, ["800"], ".0: holds '800': "),
    (GROUPS, [{"id": "1", "membrs": ["1"]}], ".0.membrs: unknown key; the nearest known one is members"),
    (GROUPS, [{"id": "1", "business_hours": {"timezone": "Nowhere"}}], ".0.business_hours.timezone: holds 'No"),
    (GROUPS, [{"id": "1", "business_hours": {"monday": [span("9:00", "8:00")]}}], ".0.business_hours.monday.0.end: "),
    (NOTIFY, [{"type": "email", "url": "https://x.example/y"}], ".0.type: holds 'email': must be 'teams'"),
    (NOTIFY, [{"type": "teams"}], ".0.url: missing; "),
    *((MEMBERS, written, ": ") for written in ({}, {"source": "ldap"}, "static")),
    (MEMBERS, {"source": "static", "url": "x"}, ".url: unknown key; the nearest known one is source"),
    (MEMBERS, {"source": "database"}, ".database: missing; "),
    (MEMBERS, {"source": "database", "database": LOGIN | {"host": "a..b"}}, ".database.host: holds 'a..b': "),
    (MEMBERS, {"source": "database", "selects": "x", "database": LOGIN}, ".selects: unknown key; the"),
    (MEMBERS, {key: XAPI[key] for key in ("source", "url", "client_id")}, ".client_secret: missing; "),
]


@pytest.mark.parametrize(("path", "written", "words"), REFUSED, ids=lambda value: f"{value!r:.40}")
def test_what_a_setting_refuses(path: str, written: Any, words: str) -> None:
    found = mistake(text_with((path, written)))
    assert found.startswith(path + words)
    assert "hunter2" not in found


CONNECTION_STRINGS = [
    *("Server=h;User Id=u;Password=hunter2", "AccountName=a;AccountKey=hunter2==", "jdbc:mysql://h;password=hunter2"),
    *(
        "u:hunter2@h",
        "u/hunter2@h",
        "https://h/?code=hunter2",
        "?sv=1&sig=hunter2",
        "h,password=hunter2",
        "--password hunter2",
    ),
    *(
        "Bearer hunter2",
        "Authorization: Basic hunter2",
        "eyJhbGciOiJI.hunter2/x",
        '{"client_secret": "hunter2"}',
        "apikey hunter2",
    ),
]


@pytest.mark.parametrize("text", CONNECTION_STRINGS)
@pytest.mark.parametrize("path", [START, WAIT, HOST, ZONE, URL, "api.auth.type", REGION, MONDAY, MAPPING, "ledger"])
def test_a_connection_string_is_not_shown_as_whatever_it_was_written(path: str, text: str) -> None:
    """A flow mapping of YAML makes a key of one, as in {Server=h;Password=x}."""
    for value in (text, {text: None}, {text: "x"}):
        assert "hunter2" not in " ".join(mistakes(text_with((path, value))))


@pytest.mark.parametrize("host", ["/var/run/postgresql", "pg1.example,pg2.example"])
def test_postgresql_takes_several_servers_and_a_folder(host: str) -> None:
    assert read(DATABASE, LOGIN | {"engine": "postgresql", "host": host}).host == host


@pytest.mark.parametrize(
    ("engine", "host", "words"),
    [
        *(
            (engine, "a,b", f"names several servers, and engine {engine} takes one")
            for engine in ("mysql", "sqlserver")
        ),
        *((engine, "/run/x", "is a folder, where engine") for engine in ("mysql", "sqlserver")),
        *((engine, "tcp:pbx", "begins with tcp:, which is not for") for engine in ("mysql", "postgresql")),
        *((engine, "(local)", "has brackets in it, which are not for") for engine in ("mysql", "postgresql")),
    ],
)
def test_a_host_that_the_engine_would_never_find_is_refused(engine: str, host: str, words: str) -> None:
    found = mistake(text_with((DATABASE, LOGIN | {"engine": engine, "host": host})))
    assert found.startswith(f"{HOST}: holds {host!r}: {words}")


def test_a_file_is_taken_where_the_engine_has_a_use_for_it() -> None:
    for engine in ("mysql", "postgresql"):
        settings = parse_settings(text_with((f"{DATABASE}.engine", engine), (f"{DATABASE}.ca_file", BUNDLE)), {})
        assert settings.three_cx.cdr_database.ca_file == BUNDLE


@pytest.mark.parametrize(("engine", "host"), [("mysql", "[::1]"), ("postgresql", "[::1],[fe80::1%eth0]")])
def test_the_brackets_of_a_url_around_an_address_are_not_handed_on(engine: str, host: str) -> None:
    assert read(DATABASE, LOGIN | {"engine": engine, "host": host}).host == host.replace("[", "").replace("]", "")


@pytest.mark.parametrize("name", ["host", "username", "password"])
@pytest.mark.parametrize("engine", ["sqlserver", "mysql", "postgresql"])
def test_a_database_server_needs_a_host_and_a_login(engine: str, name: str) -> None:
    database = {key: value for key, value in LOGIN.items() if key != name} | {"engine": engine}
    assert f"{DATABASE}.{name}: missing" in mistake(text_with((DATABASE, database)))
    assert f"engine {engine} needs it" in mistake(text_with((DATABASE, database)))


def test_sqlite_needs_nothing_but_its_file() -> None:
    assert read(DATABASE, {"engine": "sqlite", "database": "calls.db"}).database == "calls.db"


@given(st.from_regex(r"\A[\w.!'+-]{1,66}@[\w.-]{1,20}\.[\w-]{1,8}\Z"))
def test_no_address_is_taken_that_the_call_logger_would_refuse(address: str) -> None:
    try:
        assert is_email(read(MAPPED, address))
    except InvalidConfig:
        return


@pytest.mark.parametrize(
    ("written", "spans"),
    [
        (None, []),
        ([], []),
        (span("8:00", "17:30"), [(clock(8), clock(17, 30), False)]),
        (
            [span("13:00", "17:00"), span("08:00", "13:00")],
            [(clock(13), clock(17), False), (clock(8), clock(13), False)],
        ),
        (span("22:00", "06:00", overnight=True), [(clock(22), clock(6), True)]),
        (span("00:00", "00:00", overnight=True), [(clock(0), clock(0), True)]),
        (span("08:00", "24:00"), [(clock(8), clock(0), True)]),
        ([span("00:00", "24:00", overnight=False)], [(clock(0), clock(0), True)]),
    ],
)
def test_a_day_is_null_a_span_or_several(written: Any, spans: list[tuple[clock, clock, bool]]) -> None:
    hours = parse_settings(text_with((MONDAY, written)), {}).business_hours
    assert [(found.start, found.end, found.overnight) for found in hours.spans(0)] == spans
    assert [hours.spans(day) for day in range(1, 7)] == [()] * 6


@pytest.mark.parametrize(
    ("days", "found"),
    [
        (
            {"monday": span("22:00", "06:01", overnight=True), "tuesday": span("06:00", "07:00")},
            "tuesday: overlaps monday",
        ),
        (
            {"tuesday": span("06:00", "07:00"), "monday": span("22:00", "06:01", overnight=True)},
            "tuesday: overlaps monday",
        ),
        ({"monday": span("0:00", "7:00"), "sunday": span("20:00", "0:01", overnight=True)}, "sunday: overlaps monday"),
        ({"monday": span("22:00", "06:00", overnight=True), "tuesday": span("06:00", "07:00")}, None),
        ({"monday": span("20:00", "24:00"), "tuesday": span("00:00", "07:00")}, None),
        ({"sunday": span("20:00", "24:00"), "monday": span("00:00", "24:00")}, None),
    ],
)
def test_a_night_may_meet_the_day_after_but_not_overlap_it(days: dict[str, Any], found: str | None) -> None:
    text = text_with(("business_hours", days))
    if found is None:
        assert parse_settings(text, {})
    else:
        assert mistake(text).startswith(f"business_hours.{found}, over midnight; allowed: a span")


def test_a_group_and_its_members_are_those_that_rows_have_however_they_are_written() -> None:
    """Version 1.0.0 compared them as they stood, with rows that had them so."""
    (group,) = read(GROUPS, [{"id": "Ext.\uff1800", "members": ["Ext.101", " 102"]}])
    assert (group.id, group.members) == ("800", ("101", "102"))


def test_members_come_from_a_source() -> None:
    assert isinstance(read(MEMBERS, {"source": "static"}), StaticMembers)
    assert isinstance(read(MEMBERS, XAPI), XapiMembers)
    members = read(MEMBERS, {"source": "database", "database": LOGIN})
    assert isinstance(members, DatabaseMembers)
    assert (members.select, members.database.engine, members.database.effective_port) == ("3cx-v20", "postgresql", 5432)


@pytest.mark.parametrize("none", [{}, {"members": None}])
def test_every_group_lists_its_members_where_they_are_static(none: dict[str, Any]) -> None:
    groups = [{"id": "800", "members": ["101"]}, {"id": "801"} | none]
    assert at(parse_settings(text_with((GROUPS, groups)), {}), GROUPS)[1].members is None
    found = mistake(text_with((MEMBERS, {"source": "static"}), (GROUPS, groups)))
    assert found.startswith(
        f"{GROUPS}.1.members: missing, members.source static needs it; allowed: a list of extensions"
    )


def test_all_mistakes_are_named_at_once() -> None:
    week = {
        "timezone": "America/Ancorage",
        "tuesday": [span("08:00", "12:00"), span("11:00", "13:00")],
        "wednesday": span("22:00", "02:00", overnight=True),
        "thursday": span("01:00", "03:00"),
        "friday": [span("01:00", "03:00"), {"start": "x", "stop": "1"}],
        "holidays": {"country": "US", "subdivision": "XX", "dates": ["soon"]},
    }
    groups = [
        {"id": "800"},
        {"id": "800", "members": ["101"], "business_hours": {"timezone": "x"}},
        {"name": "Support"},
    ]
    found = mistakes(
        text_with(
            ("3cx", {"polling_interval_second": "30", "start_from": "yesterday"}),
            (
                DATABASE,
                {"engine": "oracle", "database": "cdr", "port": "99999", "encrypt": "perhaps", "host": "${X-y}"},
            ),
            ("api", {"base_url": "calls.example.com", "auth": {"type": "bearer", "tokn": "x"}}),
            ("calls", {"anonymous_number": "@Microsoft.KeyVault(x)", "default_region": "UK"}),
            ("business_hours", week),
            ("call_groups", {"unknown_after": "soon", "members": {"source": "static"}, "monitored_groups": groups}),
            ("extension_mapping", {"101": "alice"}),
        )
    )
    expected = {
        "3cx": "polling_interval_second start_from",
        "3cx.cdr_database": "encrypt engine host port",
        "api": "auth.token auth.tokn base_url",
        "business_hours": "thursday timezone tuesday holidays.dates.0 holidays.subdivision",
        "business_hours.friday.1": "end start stop",
        "call_groups": "unknown_after monitored_groups.0.members monitored_groups.2.id monitored_groups.2.members",
        "call_groups.monitored_groups.1": "business_hours.timezone id",
        "calls": "anonymous_number default_region",
        "extension_mapping": "101",
    }
    paths = [f"{section}.{key}" for section, keys in expected.items() for key in keys.split()]
    assert sorted(line.partition(":")[0] for line in found) == sorted(paths)
