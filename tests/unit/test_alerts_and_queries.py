"""What people are told of, and ask the log for, is what the code writes there."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest

from cdr.calls.call import Reason, Settlement, State
from cdr.submission.report import is_warning
from shared import errors
from tests.support.emitted import Emitted, emitted, fields_by_event
from tests.support.kql import cap_rule, properties, queries, rules, shown, variable

PROJECT = Path(__file__).parents[2]
ERRORS = {name for name, _ in inspect.getmembers(errors, inspect.isclass)}
SEED = ["processing rate", "api success rate", "database health", "alert frequency"]
"""What an operator looks at first."""


def events_in(query: str) -> set[str]:
    return set(re.findall(r'"([a-z]+\.[a-z_]+)"', query))


def fields_in(query: str) -> set[str]:
    return {one or other for one, other in re.findall(r'\be(?:\.(\w+)|\["(\w+)"\])', query)}


def sections(path: str) -> dict[str, str]:
    """A document's sections, by the anchors that a link leads to."""
    _, *found = re.split(r"^##+ (.+)$", (PROJECT / path).read_text(encoding="utf-8"), flags=re.MULTILINE)
    anchors = [re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in found[::2]]
    return dict(zip(anchors, found[1::2], strict=True))


# Queries


def test_queries_look_for_events_and_fields_that_the_code_writes() -> None:
    known = fields_by_event()
    for where, query in queries().items():
        named = events_in(query)
        assert named <= known.keys(), where
        written = set[str]().union(*(known[event] for event in named or known))
        assert fields_in(query) <= written, where


def test_queries_compare_errors_and_reasons_with_such_as_there_are() -> None:
    for where, query in queries().items():
        assert set(re.findall(r'"([A-Z]\w+[a-z]\w*)"', query)) - {"MaxDequeueCount"} <= ERRORS, where
        assert set(re.findall(r'e\.reason\) == "(\w+)"', query)) <= set(Reason), where


@pytest.mark.parametrize(
    ("query", "named", "fields"),
    [
        ('where event in ("a.b", "c.d_e") | extend n = toint(e.n)', {"a.b", "c.d_e"}, {"n"}),
        ('where tostring(e["missing"]) == "x"', set(), {"missing"}),
    ],
)
def test_events_and_fields_are_found_in_a_query(query: str, named: set[str], fields: set[str]) -> None:
    assert (events_in(query), fields_in(query)) == (named, fields)


def test_the_workbook_begins_with_whether_calls_flow_and_can_tell_of_one_call() -> None:
    assert list(shown())[:4] == SEED
    assert {"latency", "lag", "queue", "rejections", "group timeline"} <= set(shown())
    assert '"{Call}"' in shown()["history"]


# Alerts


def test_whatever_is_a_warning_or_worse_is_told_by_a_rule_or_has_a_reason_why_not() -> None:
    def is_serious(each: Emitted, name: str) -> bool:
        state = name.removeprefix("call.")
        if len(each.names) > 2:  # how a call is settled: its level depends on that
            return any(is_warning(Settlement(State(state), reason)) for reason in Reason)
        return not each.levels <= {"INFO"}

    serious = {name for each in emitted() for name in each.names if is_serious(each, name)}
    told = set().union(*(events_in(rule["query"]) for rule in rules()))
    untold = set(re.findall(r"^\| `(\S+)` \| \S", sections("docs/runbook.md")["what-sends-no-mail"], re.MULTILINE))
    assert serious - told <= untold <= serious


def test_each_mail_leads_to_its_section_which_says_what_it_means_what_to_look_at_and_what_to_do() -> None:
    found, named = sections("docs/runbook.md"), {rule["name"] for rule in rules()} | {"health", "log-cap"}
    assert set(found) - {"what-sends-no-mail"} == named
    for name in named:
        assert re.findall(r"^\*\*(.+?)\.\*\*", found[name], re.MULTILINE) == ["Means", "Look at", "Do"], name
    assert properties("alertRules")["description"] == "${alert.description} ${runbookUrl}#${alert.name}"
    assert properties("healthAlert")["description"].endswith(" ${runbookUrl}#health")
    assert cap_rule()["description"].endswith(" ${runbookUrl}#log-cap")
    for rule, name in ((properties("alertRules"), "${alert.name}"), (cap_rule(), "log-cap")):
        assert rule["actions"]["customProperties"]["runbook"] == f"${{runbookUrl}}#{name}"


@pytest.mark.parametrize("path", ["docs/runbook.md", "docs/queries.md", "docs/operating.md"])
def test_links_lead_to_sections_that_are_there(path: str) -> None:
    text = (PROJECT / path).read_text(encoding="utf-8")
    for target, anchor in re.findall(r"\]\(((?:\.\./)?[\w./-]*\.md|)(?:#([\w-]+))?\)", text):
        file = (PROJECT / path).parent / target if target else PROJECT / path
        assert file.is_file(), target
        assert not anchor or anchor in sections(str(file.relative_to(PROJECT))), f"{target}#{anchor}"


def test_a_rule_counts_rows_so_that_silence_is_noticed_too() -> None:
    """A query that adds up gives one row where nothing happened: it must end with a condition."""
    rule = properties("alertRules")
    assert (rule["criteria"]["allOf"][0]["timeAggregation"], rule["skipQueryValidation"]) == ("Count", True)
    for alert in rules():
        *_, last = alert["query"].split(" | ")
        assert "summarize" not in alert["query"] or last.startswith("where ")
        assert "summarize" not in alert["query"] or alert["operator"] == "GreaterThan"
    silent = [(alert["name"], alert["threshold"]) for alert in rules() if alert["operator"] == "LessThan"]
    assert silent == [("no-poll", 1), ("no-group-check", 1)]


def test_each_reason_of_a_rejection_is_an_alert_of_its_own_and_stands_in_its_mail() -> None:
    dimensions = {rule["name"]: rule["dimensions"] for rule in rules() if rule["dimensions"]}
    assert dimensions["call-rejected"] == ["reason"]
    for rule in rules():
        columns = set(re.findall(r"(\w+) = ", rule["query"]))
        assert set(rule["dimensions"]) <= columns


def test_the_health_check_is_looked_at_from_several_places_and_one_of_them_may_have_trouble_of_its_own() -> None:
    test, failing = properties("healthTest"), properties("healthAlert")["criteria"]["failedLocationCount"]
    assert (test["Request"]["RequestUrl"], test["ValidationRules"]["ExpectedHttpStatusCode"]) == ("healthUrl", 200)
    assert 1 < failing < len(variable("lookedAtFrom"))
