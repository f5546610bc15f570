"""Numbers in somebody's words: no phone number can be read from them any more, and everything else can."""

from __future__ import annotations

import re
import unicodedata
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from shared.masking import mask_number, mask_numbers


@pytest.mark.parametrize(
    ("number", "masked"),
    [("+1 907 555 0142", "***42"), ("19075550142", "***42"), ("12345", "***45"), ("1011", "***"), ("", "***")],
)
def test_of_a_number_only_the_end_is_shown_and_of_an_extension_nothing(number: str, masked: str) -> None:
    assert mask_number(number) == masked


SEPARATORS = [
    *("", " ", "-", ".", "/", ",", "_", "*", "|", "'", ";", "\u00b7", "`", "\u2019", ":", "~", "="),
    *("\u00a0", "\u2009", "\u202f", "\t", "\u2013", "\u2010", "\u2011", "\u2012", "\u2014", "\u2212", "\u200b"),
    *(") ", " (", " / ", " - ", ", ", "--", "   ", ")-(", "&nbsp;", "&#160;", "%20", "%2D", "%C2%A0"),
    *("', '", '", "', "....", "  -  "),
    *("\\xa0", "\\u00a0", "\\\\xa0", "\\u2011", "\\t", "\\N{NO-BREAK SPACE}"),
]
DIGITS = [
    "0123456789",
    "\u0660\u0661\u0662\u0663\u0664\u0665\u0666\u0667\u0668\u0669",
    "".join(map(chr, range(0xFF10, 0xFF1A))),
]
words = st.text(st.characters(exclude_categories=["Nd"]), max_size=10).filter(
    lambda text: not re.search("(?i)row|id|ip|host|server|addr|code|error", text)
)
groups = st.lists(st.text("0123456789", min_size=1, max_size=4), min_size=2, max_size=6)


@given(
    words, groups, st.sampled_from(SEPARATORS), st.sampled_from(DIGITS), st.sampled_from(["", "+", "tel:", "(", "sip:"])
)
@example("", ["907", "555", "0142"], "\\xa0", DIGITS[0], "")
def test_whatever_stands_between_its_digits_no_phone_number_can_be_read(
    text: str, groups: list[str], between: str, digits: str, before: str
) -> None:
    """Nine digits and more: shorter ones are dates and host addresses as well."""
    plain = "".join(groups)
    is_quad = between == "." and len(groups) == 4
    is_address = is_quad and all(group == str(int(group)) and int(group) < 256 for group in groups)
    is_version = is_quad and re.match("1|[089]$", groups[0])
    assume(len(plain) >= 9 and not is_address and not is_version)
    number = between.join("".join(digits[int(digit)] for digit in group) for group in groups)
    masked = mask_numbers(f"{text} {before}{number} {text}")
    shown = "".join(str(unicodedata.digit(sign)) for sign in masked if sign.isdecimal())
    assert len(shown) <= 2, masked


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("phoneNumber: '+1 907 555 0142' is too long", "phoneNumber: '***42' is too long"),
        ("called 907-555-0142 and 907.555.0143", "called ***42 and ***43"),
        ("(907) 555-0142", "(***42"),
        ("(030) 12345", "(***45"),
        ("+49 (0) 30 / 12345", "***45"),
        ("22.33.44.55", "***55"),  # as a Dane writes it
        ("2026-11-22 10:05:00 19075550142", "***42"),  # rather too much
        ("0049 2026-11-22 331", "***31"),
        ("caller id 9075550142, id 907555 0142", "caller id ***42, id ***42"),
        ("tel19075550142 at 19075550142@pbx.example.com", "tel***42 at ***42@pbx.example.com"),
        ("907.555.0142.Please", "***42.Please"),
        ("19075550142 seconds", "***42 seconds"),
        ("90:75:55:01:42", "***42"),
        ("+1 -2147467259", "***59"),
        ("+49.30.111.222 and 030.11.22.33", "***22 and ***33"),
        ("number '49.30.111.222'", "number '***22'"),
        ("+49.0.30111.222, v 12.0.30111.2223", "***22, v ***23"),
        ("(030) (111) (222) or [49][30][111][222]", "(***22) or [***22]"),
        ("(+49301) (11122)", "(***22)"),
        ("'030', '111', '222'", "'***22'"),
        ("phone id 12345678, caller number id 12345678", "phone id ***78, caller number id ***78"),
        ("sip id=49301112 contact_id:49301112", "sip id=***12 contact_id:***12"),
        ("Row 030111222", "Row ***22"),
        ("error 030111 222", "error ***22"),
        ("('22.33.44.55', 90) or 49301 (11222)", "('***90) or ***22)"),
        ("called 49.30.111.222, tel:10.75.55.142", "called ***22, tel:***42"),
        ("(2125) (55123) or [9075] [5501]", "(***23) or [***01]"),
        ("area code 2125 55123", "area code ***23"),
        ("sip:4930111222@10.0.0.1:5060", "sip:***22@10.0.0.1:5060"),
        ("(030) [22333] Max", "(***33] Max"),
        ("30111222b, a3011122", "***22b, a***22"),
        ("dead30111222", "dead***22"),
        ("-2145551234", "-***34"),
        ("phone=-2147467259", "phone=-***59"),
        ("030111222 seconds, 030 111222 ms", "***22 seconds, ***22 ms"),
        ("+45 22:33 11:22", "***22"),
        ("12:34:56:78:90:12", "***12"),
        ("Apr 30 2026 030111222", "Apr 30 2026 ***22"),
    ],
)
def test_a_number_is_masked_also_where_it_looks_like_something_else(text: str, masked: str) -> None:
    assert mask_numbers(text) == masked


@pytest.mark.parametrize(
    "text",
    [
        "Conversion failed when converting date and/or time from '2026-11-22 10:05:00.123'",
        "2026/04/30 06:35:46, 22.11.2026 and 11/22/2026, 2026-11",
        "until 08:08:03 UTC",
        "Can't connect to '20.50.2.3', \"20.50.2.4\" or 20.50.2.5 port 5432; ip 49.30.111.222",
        "X-Forwarded-For: 20.50.2.3, 10.0.0.1",
        "connect to 10.0.0.4:1433, 192.168.178.20 and 10.20.30.40 failed",
        "[HY000] [Microsoft][ODBC Driver 18 for SQL Server]Login failed (18456) (4060)",
        "[42000] (18456); (18456)(4060)",
        "08001 (10061), error 40615 (42000) state 1 or [08001] (10061)",
        "('08001', '[08001] [Microsoft] TCP Provider: Error code 0x2749 (10057) (SQLDriverConnect)')",
        "('28000', \"[28000] [Microsoft]Login failed for user 'x'. (18456) (SQLDriverConnect); [42000] (4060)\")",
        "Login timeout (0); [08001] [Microsoft] AADSTS700016",
        "[Connect call failed ('20.50.2.3', 443)]",
        "(20009, b'DB-Lib error message 20009, severity 9: Unable to connect')",
        "(2003, \"Can't connect to MySQL server on '20.50.2.3' ([Errno 111] Connection refused)\")",
        "errors 18456 4060 911 and SQLSTATE 42000",
        "(-2147467259, 'x'), HRESULT=-2147467259",
        "fixed by KB5017593 for pid 1234567",
        "MAC 12:34:56:78:90:12 and 00:1A:2B:3C:4D:5E",
        "between -9223372036854775808 and 9223372036854775807, or 18446744073709551615",
        "20260430T063546Z, 30/Apr/2026:06:35:46 +0200, Thu, 30 Apr 2026 06:35:46 GMT, Apr 30 2026 6:35AM",
        "Thu Apr 30 06:35:46 2026",
        "Incorrect datetime value: '0000-00-00 00:00:00'",
        "IP address '20.50.2.3', http://20.50.2.3/, u@20.50.2.3 and 20.50.2.3:1433",
        'connection to server at "20.50.2.3", port 5432 failed: no pg_hba.conf entry for host "20.50.2.3"',
        "Windows Server 10.0.20348.2340, SQL Server 10.50.4000.0, record id 1234567",
        "COM error 0x80004005 (-2147467259)",
        "(-2147467259, 'x')",
        "activity 7d1c0f3c-1234-5678-9012-123456789012",
        "replayed as 0000017F-7-7",
        "message-9e107d9d372bb6826bd81d3542a419d6",
        "row 1234567 has the same pbxCallId",
        "ids=1234567",
        "SQL Server 15.0.2000.5",
        "sql-2019-01.example.com, srv7.corp.example.com",
        "size must be between 0 and 2147483647",
        "65,134 characters, 1048576 bytes",
        "[Errno 111] Connection refused; WinError 10060",
        "five digits 12345 are no phone number",
    ],
)
def test_what_says_what_is_wrong_stays_readable(text: str) -> None:
    assert mask_numbers(text) == text


FORMS = ["%Y-%m-%d %H:%M:%S.%f%z", "%Y-%m-%dT%H:%M:%S%z", "%Y/%m/%d %H:%M", "%d.%m.%Y", "%H:%M:%S.%f", "%Y-%m-%d"]
first, last = map(datetime.fromisoformat, ("1970-01-01", "2099-12-31"))
zones = st.none() | st.sampled_from([UTC, timezone(timedelta(hours=-9)), timezone(timedelta(hours=5, minutes=30))])
moments = st.builds(datetime.strftime, st.datetimes(first, last, timezones=zones), st.sampled_from(FORMS))
hosts = st.builds(
    str.format, st.sampled_from(["host {}", "{}:1433", "(host='{}')", "//{}/32"]), st.ip_addresses(v=4)
) | st.ip_addresses(network="10.0.0.0/8").map(str)
codes = st.integers(0, 2**32 - 1).map(lambda code: f"0x{code:08X}") | st.integers(0, 99_999).map(
    lambda code: f"({code})"
)


@given(moments | hosts | codes | st.uuids().map(str), words)
def test_dates_hosts_codes_and_uuids_stay_readable(what: str, text: str) -> None:
    assert mask_numbers(f"{text} {what} {text}") == f"{text} {what} {text}"


@given(st.text())
@example("1" + " " * 50_000)
@example("1" + "\\" * 50_000 + "1")
@example("1:" * 20_000)
@example("a-1." * 20_000)
@example("(1) " * 20_000)
@example("error 10000 " * 5_000)
def test_any_text_can_be_masked_and_masking_it_again_shows_no_more(text: str) -> None:
    once = mask_numbers(text)
    assert len(re.findall(r"\d", mask_numbers(once))) <= len(re.findall(r"\d", once)) <= len(re.findall(r"\d", text))
