"""What would become of the newest calls, and which rule decides."""

from __future__ import annotations

from typing import Any

import pytest

from cdr.calls.call import CallRecord, Reason
from cdr.operations.explain import Because, explain
from cdr.operations.preview import Previewed, Previewer, preview
from cdr.submission.directory import KeptPhoneBook, PhoneBook
from cdr.submission.email_addresses import Known
from shared.errors import SourceUnavailable
from tests.fakes.clock import HandMovedClock
from tests.fakes.row_table import InMemoryCallLog, InMemoryRowTable
from tests.support.factories import ALICE, OUTSIDE, make_call, make_raw_row, make_record, make_rules
from tests.support.workshop import NOON

BOOK = KeptPhoneBook("pbx", NOON, PhoneBook.of([("102", "bob@example.com"), ("103", None)]))

NOBODYS = "extension 103 has no address in extension_mapping, and has no e-mail address in the phone system"


class Site:
    def __init__(self, clock: HandMovedClock, kept: KeptPhoneBook | None = BOOK, **rules: Any) -> None:
        self.table = InMemoryRowTable()
        known, plain = Known({"101": ALICE}, kept), make_rules(emails={}, **rules)
        self.previewer = Previewer(InMemoryCallLog(self.table, clock), plain, lambda: known, "last_answered")

    def judge(self, **changed: Any) -> Previewed:
        """What would become of one row."""
        self.table.put(make_raw_row(**changed))
        (only,) = preview(self.previewer, 1).calls
        return only


@pytest.fixture
def site(clock: HandMovedClock) -> Site:
    return Site(clock)


def test_the_newest_calls_are_shown_as_they_would_be_submitted(site: Site) -> None:
    site.table.put(*(make_raw_row(id=n) for n in range(1, 8)), make_raw_row(id=8, ended_at=None))
    found = preview(site.previewer, 3)
    assert (found.source, found.known.kept) == ("calllog", BOOK)
    assert [each.record.id for each in found.calls] == ["7", "6", "5"]
    assert found.calls[0] == Previewed(
        make_record(id=7),
        "submitted",
        Because("101 is the record's extension", "from extension_mapping", "from outside, by call_type 0", "none"),
        make_call(),
    )


@pytest.mark.parametrize(
    ("row", "told"),
    [
        ({"answered": False}, ("skipped", Reason.UNANSWERED, Reason.UNANSWERED.sentence, None)),
        ({"duration_s": -1}, ("rejected", Reason.INVALID_ROW, "duration_s: is negative", "duration_s")),
        ({"extension": "103"}, ("rejected", Reason.UNMAPPED_EXTENSION, NOBODYS, None)),
    ],
    ids=["not wanted", "no call", "nobody's"],
)
def test_what_would_not_be_submitted_says_why_and_in_which_field(
    site: Site, row: dict[str, Any], told: tuple[str, Reason, str, str | None]
) -> None:
    found = site.judge(**row)
    assert found.call is None
    assert (found.outcome, found.reason, found.detail, found.field) == told


def test_a_call_that_would_wait_for_the_phone_book_says_so(clock: HandMovedClock) -> None:
    site = Site(clock, KeptPhoneBook("pbx"))
    found = site.judge(extension="102")
    assert (found.outcome, found.because.address) == ("waits", "not known before the phone system has told its own")
    assert site.judge(extension="101").outcome == "submitted"


def test_of_rows_with_one_key_the_oldest_would_be_submitted(clock: HandMovedClock) -> None:
    site = Site(clock, pbx_call_id="{call_id}")
    site.table.put(*(make_raw_row(id=n, call_id="A" if n % 2 else f"{n}") for n in range(1, 6)))
    calls = preview(site.previewer, 10).calls
    assert {each.record.id: each.outcome for each in calls} == dict.fromkeys("35", "skipped") | dict.fromkeys(
        "421", "submitted"
    )
    assert (calls[0].reason, calls[0].detail) == (
        Reason.SAME_PBX_CALL_ID,
        "row 1 has the same pbxCallId (calls.pbx_call_id)",
    )


def test_a_phone_system_that_cannot_be_read_is_an_error(site: Site) -> None:
    site.table.fail_at(1, SourceUnavailable("503"))
    with pytest.raises(SourceUnavailable):
        preview(site.previewer, 1)


# Which rule decides


@pytest.mark.parametrize(
    ("row", "rules", "because"),
    [
        ({"extension": "102"}, {}, {"address": "from the phone system"}),
        (
            {"extension": "104"},
            {"unmapped_extensions": "submit_without_email"},
            {"address": "not known (calls.unmapped_extensions: submit_without_email)"},
        ),
        ({"extension": None}, {}, {"owner": None, "address": None}),
        (
            {"call_type": 1, "caller_number": "101", "dest_number": OUTSIDE},
            {},
            {"direction": "to outside, by call_type 1"},
        ),
        (
            {"call_type": None},
            {},
            {"direction": "by which side looks like an extension (calls.internal_number_digits)"},
        ),
        (
            {"call_type": 2, "caller_number": "102"},
            {},
            {"direction": "between extensions, and the owner was called"},
        ),
        (
            {"call_type": 2, "caller_number": "101", "dest_number": "102"},
            {},
            {"direction": "between extensions, and the owner called"},
        ),
        ({"call_group_id": "900"}, {}, {"group": "900 named by the phone system"}),
        (
            {"call_group_id": "900"},
            {"call_group": "monitored"},
            {"group": "900 left out, not one of call_groups.monitored_groups (calls.call_group: monitored)"},
        ),
        (
            {"dest_number": "800"},
            {"monitored_groups": frozenset({"800"})},
            {"group": "800 called, which is monitored"},
        ),
    ],
    ids=str,
)
def test_each_part_of_a_call_says_which_rule_made_it(
    clock: HandMovedClock, row: dict[str, Any], rules: dict[str, Any], because: dict[str, str | None]
) -> None:
    found = Site(clock, **rules).judge(**row).because
    assert {name: getattr(found, name) for name in because} == because


@pytest.mark.parametrize(
    ("owner", "changed", "words"),
    [
        ("last_answered", {}, "101 answered last (calls.owner: last_answered)"),
        ("each", {}, "101 talked, as did everybody with an entry (calls.owner: each)"),
        ("longest", {"answered": False}, "101 was addressed last, and nobody answered"),
        ("longest", {"answered": False, "call_type": "1"}, "101 called in vain"),
    ],
    ids=str,
)
def test_the_owner_of_a_call_of_legs_is_who_the_policy_says(owner: str, changed: dict[str, Any], words: str) -> None:
    record, known = CallRecord.from_row(make_raw_row(id="a1b2c3", **changed)), Known({"101": ALICE})
    assert explain(record, None, make_rules(), known, owner).owner == words
