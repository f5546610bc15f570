"""Numbers as people's tables have them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdr.calls.numbers import as_e164, digits_of, plain, says_extension

WRITTEN = {
    "+12125551234": "+12125551234",
    "sip:+12125551234;npdi;rn=+12125550000@host": "+12125551234",
    "sip:+12125551234@host;transport=tls?Subject=99": "+12125551234",
    '"Office 24" <sip:+4930111222@host>': "+4930111222",
    '"O\\"Neil, 7" <sip:101@pbx>;tag=77': "101",
    "Office 24 <4930111222>": "4930111222",
    '"Office 24" 4930111222': "4930111222",
    "<sip:101@pbx.example:5060>": "101",
    "SIPS:101:secret2@pbx.example": "101",
    "sip:+4930111222:5060": "+4930111222",
    "sip:%2B4930111222@host": "+4930111222",
    "tel:+49-30-111-222;ext=9": "+49-30-111-222",
    "tel:7042;phone-context=9.example.com": "7042",
    "tel://+4930111222": "+4930111222",
    "callto:+4930111222": "+4930111222",
    "sip:anonymous@anonymous.invalid": "anonymous",
    "Ext.101": "101",
    " ext. 101 ": "101",
    "Ext 101": "101",
    "EXT:101": "101",
    "sip:Ext.101@pbx": "101",
    "Extra 101": "Extra 101",
    "\uff11\uff10\uff11": "101",
    "\uff0b\uff14\uff19 \uff13\uff10": "+49 30",
    "٠١٢٣": "0123",
    "(907) 555-0142": "(907) 555-0142",
    "030111222 (Office 24)": "030111222",
    "Ext.101 (Alice)": "101",
    "Alice (101)": "101",
    "Alice [Ext.101]": "101",
    "1-800-FLOWERS (101)": "101",
    "Extra 101 (2)": "Extra 101 (2)",
    "Alice (2nd floor)": "Alice",
    "030111222,,22#": "030111222",
    "+49 30 111222 ext. 22": "+49 30 111222",
    "+49 30 111222 x 22 x 7": "+49 30 111222",
    "*672125551234": "2125551234",
    "*67, 212 555 1234": "212 555 1234",
    "#31#030111222": "030111222",
    "*30#030111222": "030111222",
    "*67": "*67",
    "*671234": "*671234",
    "+1 (202) 555-0141 [Home 2]": "+1 (202) 555-0141",
    "[Max] 030111222": "[Max] 030111222",
    "12025550141/12025550142": "12025550141",
    "030/111222": "030/111222",
    "10.0.0.1:5060": "",
    "10.0.0.1": "10.0.0.1",
    "h323:+4930111222@host": "+4930111222",
    '"A <1>" <+4930111222>': "+4930111222",
    '"O\'Neil <3>" <sip:+4930111222@host>': "+4930111222",
    "Room <7> <sip:101@pbx>": "101",
    '"4930111222"': '"4930111222"',
    '"Desk 7" <sip:anonymous@anonymous.invalid>': "anonymous",
    "Desk 7 <anonymous>": "anonymous",
    "+12125551234 <Max>": "+12125551234",
    "Ext.101 <Max>": "101",
    "Max 24 +4930111222": "+4930111222",
    "Max 2 (+4930111222)": "+4930111222",
    "Max 24 030111222": "030111222",
    "Max 24 (030) 111222": "(030) 111222",
    "Desk 7 9075550142": "9075550142",
    "Max 24 907 555 0142": "Max 24 907 555 0142",
    "Max 030 111222": "Max 030 111222",
    "O'Neil 7 (907) 555-0142": "(907) 555-0142",
    "Max (24) 030111222": "030111222",
    "3M 030111222": "030111222",
    "Q800: Max 030 111222": "030 111222",
    "Max 24, 030111222": "030111222",
    "Max 24 - 030 111222 ext 5": "030 111222",
    "Max (Ext.101) (Sales)": "101",
    "Max \uff08101\uff09": "101",
    "030 111222 - Max 24": "030 111222",
    "1 800 555 TALK": "1 800 555 TALK",
    "030111222 / 030111333": "030111222",
    "030111222|030111333": "030111222",
    "030111222 or +4930111333": "030111222",
    "030111222 (030111333)": "030111222",
    "+49 30 (1112222)": "+49 30 (1112222)",
    "004930/1112223": "004930/1112223",
    "9,030111222": "030111222",
    "*31#030111222": "030111222",
    "*97": "*97",
    "+12125551234w101": "+12125551234",
    "\u200e+49\u200b30 111222\u202c": "+4930 111222",
    '"Anonymous" <sip:c8oqz84zk7z@anonymous.invalid>': "",
    "sip:+4930111222@anonymous.invalid": "+4930111222",
    "4.930111222E+9": "4930111222",
    "1.5e1": "15",
    "+4930111222 (+4930999)": "+4930111222",
    "030111222 (Office +4930999)": "030111222",
    "Ext.101 (+4930999111)": "101",
    "4930111222.0": "4930111222",
    "101.0": "101",
    "030.0": "030.0",
    "+49 (0)30 111222": "+49 30 111222",
    "0049(0)30111222": "004930111222",
    "+39 (0)6 111222": "+39 (0)6 111222",
    "sip:10.0.0.1": "",
    "sip:pbx1.example.com:5060": "",
    "sip:[2001:db8::1]": "",
    "sip:101": "101",
    "": "",
}


@pytest.mark.parametrize(("written", "number"), WRITTEN.items(), ids=range(len(WRITTEN)))
def test_a_number_is_found_in_what_stands_around_it(written: str, number: str) -> None:
    assert plain(written) == number


@given(st.text() | st.text('0123456789+@;:<>"%?. Extsip/'))
def test_any_text_has_a_number_in_plain_digits_that_is_not_longer(text: str) -> None:
    number = plain(text)
    assert len(number) <= len(text)
    assert digits_of(number).isascii()
    assert plain(number) == plain(plain(number))


@given(st.from_regex(r"\+?[1-9][0-9]{5,14}", fullmatch=True))
def test_a_bare_number_stays_as_it_is_and_is_found_in_every_address(number: str) -> None:
    around = ("{}", "sip:{}@host", '"Desk 7" <sip:{};user=phone@host:5061>;tag=1', "tel:{};x=1", "<{}>")
    assert {plain(form.format(number)) for form in around} == {number}


@pytest.mark.parametrize(
    ("number", "region", "formatted"),
    [
        ("1-800-FLOWERS", "US", "+18003569377"),
        ("+1 800 FLOWERS", None, "+18003569377"),
        ("101 Reception", "US", "101"),
        ("1-8-FLOWERS-OVERSEAS", "US", "18"),
        ("1-800-FLOWERS       ", "US", "+18003569377"),
        ("101", "US", "101"),
        ("Reception 0907 555 0142", "US", "09075550142"),
        ("030 111222", "DE", "+4930111222"),
        ("030111222 Max", "DE", "+4930111222"),
        ("+1 212 555 1234 Max", None, "+12125551234"),
    ],
)
def test_letters_count_where_they_make_a_valid_number(number: str, region: str | None, formatted: str) -> None:
    assert as_e164(number, region, (2, 5)) == formatted


@pytest.mark.parametrize("text", ["1234567", "sip:101@x", "Ext.", "Extra 101", "x4930111222", "", "x"])
def test_only_its_own_notation_says_that_a_number_is_an_extension(text: str) -> None:
    assert not says_extension(text)


@pytest.mark.parametrize(
    "text", ["Ext.1234567", "Ext.101 (Alice)", "Max (Ext.1234567)", "Ext101", "Ext-101", "Extn.101", "x101", "EXT 101"]
)
def test_a_notation_of_extensions_says_so_however_it_is_marked(text: str) -> None:
    assert says_extension(text)
