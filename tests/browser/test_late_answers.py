"""Answers that come late, or in another order than they were asked for: each is for what was asked, or for nobody."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from playwright.sync_api import Page, Route, expect

from tests.browser.conftest import opened
from tests.browser.served import KEY, Served
from tests.support.scenes import SCENES


@contextmanager
def held(tab: Page, address: str) -> Iterator[list[Route]]:
    """What is asked for at this address, unanswered so far."""
    routes: list[Route] = []
    tab.route(address, lambda route: routes.append(route))  # noqa: PLW0108 - a builtin takes no mark of Playwright's
    yield routes
    tab.unroute(address)


def one_more(routes: list[Route], tab: Page, act: Callable[[], object]) -> Route:
    """The request that an act makes."""
    before = len(routes)
    act()
    while len(routes) == before:
        tab.wait_for_timeout(1)
    return routes[-1]


def test_a_search_is_answered_by_its_own_answer_whichever_comes_first(tab: Page, app: Served) -> None:
    opened(tab, app)
    with held(tab, "**/calls?*") as routes:
        for which in ("first", "second"):
            tab.get_by_label("Which").fill(which)
            one_more(routes, tab, tab.get_by_role("button", name="Find").click)
        expect(tab.locator("#found")).to_have_text("Looking…")
        for route in reversed(routes):
            with tab.expect_response(route.request.url):
                route.fulfill(json={"calls": [{"call": route.request.url.partition("call=")[2]}]})
    tab.evaluate("onItsWay")
    expect(tab.locator("#found")).to_contain_text("second")


def test_what_was_asked_before_the_key_was_forgotten_shows_nothing_after_it(tab: Page, app: Served) -> None:
    opened(tab, app)
    app.answers["calls"] = {"calls": [{"call": "A-1"}]}
    tab.get_by_label("Which").fill("A-1")
    tab.get_by_role("button", name="Find").click()
    expect(tab.locator("#found")).to_contain_text("A-1")
    with held(tab, "**/status") as routes:
        route = one_more(routes, tab, lambda: tab.evaluate("void (window.late = refresh())"))
        tab.get_by_role("button", name="Forget the key").click()
        route.continue_()
        tab.evaluate("window.late")
    expect(tab.get_by_label("Key", exact=True)).to_be_focused()
    assert (tab.locator("main").inner_text(), tab.locator("#found").inner_text()) == ("", "")
    assert (tab.locator("#made").inner_text(), tab.title()) == ("", "Call integration")


def test_a_key_is_not_refused_for_what_the_one_before_was_answered(tab: Page, app: Served) -> None:
    tab.goto(f"{app.base_url}/page")
    with held(tab, "**/status") as routes:
        for key in ("wrong", KEY):
            tab.get_by_label("Key", exact=True).fill(key)
            one_more(routes, tab, lambda: tab.keyboard.press("Enter"))
        for route in reversed(routes):
            with tab.expect_response("**/status"):
                route.continue_()
            expect(tab.locator("#word")).to_have_text("Calls flow")
    expect(tab.locator("#key")).to_be_hidden()
    tab.evaluate("refresh()")
    expect(tab.locator("#word")).to_be_visible()


def test_what_no_header_takes_is_no_key(tab: Page, app: Served) -> None:
    tab.goto(f"{app.base_url}/page?code=k%C3%A9y")
    assert tab.url == f"{app.base_url}/page"
    tab.get_by_label("Key", exact=True).fill("“key”")
    tab.keyboard.press("Enter")
    expect(tab.get_by_text("The key was not accepted.")).to_be_visible()


def test_a_question_is_taken_back_when_the_key_is_not_good_any_more(tab: Page, app: Served) -> None:
    opened(tab, app)
    tab.get_by_role("button", name="Poll now").click()
    tab.route("**/status", lambda route: route.fulfill(status=401))
    tab.evaluate("refresh()")
    expect(tab.get_by_role("dialog")).to_be_hidden()
    expect(tab.get_by_label("Key", exact=True)).to_be_focused()


def test_an_action_under_way_cannot_be_asked_for_again_and_shows_what_it_has_changed(tab: Page, app: Served) -> None:
    """Whatever the page learns meanwhile; and who has gone elsewhere is left there."""
    opened(tab, app)
    poll, which = tab.get_by_role("button", name="Poll now"), tab.get_by_label("Which")
    with held(tab, "**/trigger/poll") as polls:
        poll.click()
        action = one_more(polls, tab, tab.get_by_role("button", name="Do it").click)
        tab.evaluate("refresh()")
        expect(poll).to_be_disabled()
        with held(tab, "**/status") as looks:
            before = one_more(looks, tab, lambda: tab.evaluate("void refresh()"))
            which.focus()
            with tab.expect_response("**/trigger/poll"):
                action.continue_()
            app.page = SCENES["outage"]
            one_more(looks, tab, lambda: before.fulfill(status=503, json={})).continue_()
            expect(tab.locator("#word")).to_have_text("Calls do not flow")
    expect(tab.locator("#said")).to_contain_text("Done.")
    expect(poll).to_be_enabled()
    expect(which).to_be_focused()
    assert app.done == [("trigger/poll", {})]
