"""Extension to e-mail address, with what is wrong of it as values."""

from __future__ import annotations

import pytest

from cdr.submission.directory import Listing, PhoneBook

LONG = f"{'a' * 60}@{'b' * 60}.{'c' * 60}.{'d' * 63}.example.com"


@pytest.mark.parametrize(
    ("listings", "emails", "problems"),
    [
        ([("101", "ada@example.com")], {"101": "ada@example.com"}, {}),
        ([("0101", "a@example.com"), ("101", "b@example.com")], {"0101": "a@example.com", "101": "b@example.com"}, {}),
        ([("Ext.101", "ada@example.com"), ("\uff11\uff10\uff11 ", None)], {"101": "ada@example.com"}, {}),
        ([("101", " ada@example.com ")], {"101": "ada@example.com"}, {}),
        ([("101", None)], {}, {"101": "no e-mail"}),
        ([("101", " ")], {}, {"101": "no e-mail"}),
        ([("101", "ada at example.com")], {}, {"101": "is none"}),
        ([("101", "ada@example.com, bob@example.com")], {}, {"101": "is none"}),
        ([("101", LONG)], {}, {"101": "255"}),
        ([("101", "a@example.com"), ("101", "b@example.com")], {}, {"101": "several"}),
        ([("101", "a@example.com"), ("101", "a@example.com")], {"101": "a@example.com"}, {}),
        ([("101", "a@example.com"), ("101", None)], {"101": "a@example.com"}, {}),
        ([("", "a@example.com"), (" ", None)], {}, {}),
        ([], {}, {}),
    ],
    ids=str,
)
def test_each_extension_has_its_address_or_what_is_wrong_with_it(
    listings: list[Listing], emails: dict[str, str], problems: dict[str, str]
) -> None:
    book = PhoneBook.of(listings)
    assert book.emails == emails
    assert book.problems.keys() == problems.keys()
    assert all(words in book.problems[extension] for extension, words in problems.items())


def test_an_address_that_several_share_is_named_and_still_the_address_of_each() -> None:
    book = PhoneBook.of([("101", "desk@example.com"), ("103", "c@example.com"), ("102", "Desk@example.com")])
    assert book.emails == {"101": "desk@example.com", "102": "Desk@example.com", "103": "c@example.com"}
    assert book.problems == {
        "101": "has the same e-mail address as 102",
        "102": "has the same e-mail address as 101",
    }


@pytest.mark.parametrize(("sharing", "named"), [(4, ""), (5, " and 1 more"), (20, " and 16 more")])
def test_of_many_who_share_an_address_a_few_are_named(sharing: int, named: str) -> None:
    book = PhoneBook.of((str(number), "desk@example.com") for number in range(100, 100 + sharing))
    assert book.problems["103"] == f"has the same e-mail address as 100, 101, 102{named}"


def test_a_problem_is_new_once_and_again_when_it_has_changed() -> None:
    book = PhoneBook.of([("101", None), ("102", "?")])
    assert book.new_problems({}) == book.problems
    assert book.new_problems(book.problems) == {}
    assert book.new_problems(PhoneBook.of([("101", "?"), ("102", "?")]).problems).keys() == {"101"}
