"""The page in Chromium: whoever looks at it, with whatever, sees whether calls flow; and nobody else acts on it."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from tests.browser.conftest import barriers, opened
from tests.browser.served import KEY, Served, serve
from tests.support.scenes import SCENES

EVERY_MS = 5_000
PHONE = {"width": 360, "height": 740}
DESK = {"width": 1280, "height": 900}


# What is to be seen


@pytest.mark.parametrize(("scheme", "screen"), [("light", DESK), ("dark", PHONE)], ids=["light desk", "dark phone"])
def test_nobody_is_kept_out_whatever_there_is_to_see(
    browser: Browser, app: Served, axe: str, scheme: Any, screen: Any
) -> None:
    """Nothing for axe to complain of, and nothing wider than the screen."""
    context = browser.new_context(color_scheme=scheme, viewport=screen)
    tab = opened(context.new_page(), app)
    found = {}
    for name, app.page in SCENES.items():
        tab.evaluate("refresh()")
        assert tab.locator("#word").inner_text() == app.page.headline.word
        is_too_wide = tab.evaluate("document.documentElement.scrollWidth > innerWidth")
        found[name] = (barriers(tab, axe), is_too_wide)
    context.close()
    assert found == dict.fromkeys(SCENES, ([], False))


def test_the_page_that_asks_for_the_key_keeps_nobody_out_and_shows_nothing(tab: Page, app: Served, axe: str) -> None:
    tab.goto(f"{app.base_url}/page")
    expect(tab.get_by_label("Key", exact=True)).to_be_focused()
    assert barriers(tab, axe) == []
    assert tab.locator("main").inner_text() == ""


def test_without_scripts_everything_is_to_be_seen_all_the_same(browser: Browser, app: Served) -> None:
    context = browser.new_context(java_script_enabled=False, extra_http_headers={"x-functions-key": KEY})
    tab = context.new_page()
    tab.goto(f"{app.base_url}/status")
    for text in ("Calls flow", "unmapped extension", "Sales (800)", "Last polls"):
        expect(tab.get_by_text(text).first).to_be_visible()
    context.close()


# The key


def test_a_key_in_the_address_is_taken_out_of_it_and_goes_on_in_a_header(tab: Page, app: Served) -> None:
    tab.goto(f"{app.base_url}/status?code={KEY.replace('+', '%2B')}")
    assert tab.url == f"{app.base_url}/page"
    app.asked.clear()
    tab.reload()
    expect(tab.locator("#word")).to_have_text("Calls flow")
    assert app.asked == ["GET /page?", "GET /status?"]
    assert KEY not in tab.content()


def test_a_wrong_key_is_told_and_the_right_one_shows_the_page_without_ever_standing_in_an_address(
    tab: Page, app: Served
) -> None:
    tab.goto(f"{app.base_url}/page")
    tab.get_by_label("Key", exact=True).fill("wrong")
    tab.keyboard.press("Enter")
    expect(tab.get_by_text("The key was not accepted.")).to_be_visible()
    tab.get_by_label("Key", exact=True).fill(KEY)
    tab.keyboard.press("Enter")
    expect(tab.locator("#word")).to_have_text("Calls flow")
    tab.get_by_role("button", name="Forget the key").click()
    expect(tab.get_by_label("Key", exact=True)).to_be_focused()
    assert tab.locator("main").inner_text() == ""
    assert not [address for address in app.asked if "code" in address or "key" in address]


# It stays up to date


def test_it_refreshes_itself_in_place_and_leaves_alone_what_the_person_is_at(tab: Page, app: Served) -> None:
    tab.clock.install()
    opened(tab, app)
    tab.get_by_text("As a table").click()
    tab.locator("#check-now").focus()
    tab.evaluate("document.getElementById('check-now').mark = 'the same'")
    app.page = SCENES["outage"]
    tab.clock.fast_forward(EVERY_MS)
    expect(tab.locator("#word")).to_have_text("Calls do not flow")
    assert tab.title().startswith("Calls do not flow")
    expect(tab.locator("#check-now")).to_be_focused()
    assert tab.evaluate("document.getElementById('check-now').mark") == "the same"
    expect(tab.get_by_role("table")).to_be_visible()


def test_it_asks_for_nothing_while_it_is_paused_or_nobody_sees_it(tab: Page, app: Served) -> None:
    tab.clock.install()
    opened(tab, app)
    app.asked.clear()
    tab.get_by_role("button", name="Pause").click()
    tab.clock.fast_forward(3 * EVERY_MS)
    tab.evaluate("Object.defineProperty(document, 'hidden', {value: true, configurable: true})")
    with tab.expect_response("**/status"):
        tab.get_by_role("button", name="Pause").click()
    tab.clock.fast_forward(3 * EVERY_MS)
    assert app.asked == ["GET /status?"]
    tab.evaluate("delete document.hidden")
    with tab.expect_response("**/status"):
        tab.evaluate("document.dispatchEvent(new Event('visibilitychange'))")


def test_an_app_that_does_not_answer_any_more_is_told_and_the_page_stays(tab: Page, app: Served) -> None:
    tab.clock.install()
    opened(tab, app)
    tab.route("**/status", lambda route: route.fulfill(status=503, content_type="application/json", body="{}"))
    tab.clock.fast_forward(EVERY_MS)
    expect(tab.locator("#said")).to_have_text("This app answers 503.")
    expect(tab.locator("#word")).to_have_text("Calls flow")
    tab.unroute("**/status")
    tab.clock.fast_forward(EVERY_MS)
    expect(tab.locator("#said")).to_have_text("")


# Actions


def test_an_action_wants_to_be_confirmed_and_is_done_by_the_keyboard_alone(tab: Page, app: Served) -> None:
    app.answers["trigger/replay"] = {"queued": 9, "under_way": 0, "complete": True}
    opened(tab, app)
    replay = tab.get_by_role("button", name="Replay unmapped extension")
    for _ in range(20):
        tab.keyboard.press("Tab")
        if replay.evaluate("button => button === document.activeElement"):
            break
    tab.keyboard.press("Enter")
    question = tab.get_by_role("dialog")
    expect(question).to_contain_text("Send 9 calls through once more")
    expect(tab.get_by_role("button", name="Cancel")).to_be_focused()
    tab.keyboard.press("Escape")
    expect(question).to_be_hidden()
    assert app.done == []
    expect(replay).to_be_focused()
    tab.keyboard.press("Enter")
    expect(tab.get_by_role("button", name="Cancel")).to_be_focused()
    tab.keyboard.press("Tab")
    expect(tab.get_by_role("button", name="Do it")).to_be_focused()
    tab.keyboard.press("Enter")
    expect(tab.get_by_role("status").filter(has_text="Done. queued: 9")).to_be_visible()
    expect(replay).to_be_focused()
    assert app.done == [("trigger/replay", {"reason": "unmapped_extension"})]
    tab.evaluate("refresh()")
    expect(tab.locator("#said"), "a refresh leaves time to read it").to_contain_text("Done.")


@pytest.mark.parametrize(("button", "path"), [("Check now", "trigger/alerts"), ("Poll now", "trigger/poll")])
def test_every_button_does_what_it_says_once_it_is_confirmed(tab: Page, app: Served, button: str, path: str) -> None:
    opened(tab, app)
    tab.get_by_role("button", name=button).click()
    with tab.expect_response(f"**/{path}"):
        tab.get_by_role("button", name="Do it").click()
    assert app.done == [(path, {})]


LEFT_AND_ASKED_AGAIN = """() => {
  const poll = document.getElementById("poll-now");
  poll.click();
  document.getElementById("ask").close();
  poll.click();
}"""


def test_a_question_that_was_left_does_not_answer_the_next_one_however_soon_it_comes(tab: Page, app: Served) -> None:
    """A browser tells only in its own time that a dialog was closed."""
    opened(tab, app).evaluate(LEFT_AND_ASKED_AGAIN)
    with tab.expect_response("**/trigger/poll"):
        tab.get_by_role("button", name="Do it").click()
    assert app.done == [("trigger/poll", {})]


def test_a_call_is_found_in_one_step(tab: Page, app: Served) -> None:
    app.answers["calls"] = {
        "calls": [
            {"call": "0000017F-7-7", "reason": "gave_up", "settled_at": "2026-11-22T10:05:06+00:00", "row": {"id": 7}}
        ]
    }
    opened(tab, app)
    tab.get_by_label("Which").fill(" 0000017F-7-7 ")
    tab.get_by_label("Day").fill("2026-11-22")
    tab.keyboard.press("Enter")
    expect(tab.locator("#found")).to_contain_text("gave_up")
    expect(tab.locator("#found")).to_contain_text("2026-11-22 10:05:06 UTC")
    assert app.asked[-1] == "GET /calls?call=0000017F-7-7&day=2026-11-22"
    app.answers["calls"] = {"calls": []}
    tab.get_by_label("By", exact=True).select_option("its extension")
    tab.get_by_role("button", name="Find").click()
    expect(tab.locator("#found")).to_have_text("The ledger knows no such call.")


# Nobody else


EVIL = """<!doctype html><title>elsewhere</title>
<form id="f" method="post" enctype="text/plain" target="t" action="{app}/trigger/alerts">
<input name='{{"reason": "' value='b"}}'></form>
<iframe name="t"></iframe><iframe id="framed" src="{app}/status"></iframe>
<script>
  document.getElementById("f").submit();
  const json = {{"Content-Type": "application/json"}};
  const tries = [
    fetch("{app}/trigger/poll", {{method: "POST", mode: "no-cors"}}),
    fetch("{app}/trigger/replay", {{method: "POST", body: '{{"reason": "x"}}', headers: json}}),
    fetch("{app}/status").then((answer) => answer.text()),
  ];
  Promise.allSettled(tries).then((all) => {{ document.title = all.map((each) => each.status).join(); }});
</script>"""


def test_a_page_of_another_site_can_neither_act_nor_read_nor_frame_it_even_where_no_key_is_wanted(
    context: BrowserContext, app: Served
) -> None:
    """As on one's own machine, where the functions let everybody in."""
    app.wants_key = False
    tab = context.new_page()
    with serve(Served(SCENES["healthy"], raw={"evil": EVIL.format(app=app.base_url)})) as other:
        tab.goto(f"{other.base_url}/evil")
        expect(tab).to_have_title("fulfilled,rejected,rejected")
        tab.wait_for_load_state("networkidle")
        framed = tab.locator("#framed").element_handle().content_frame()
        assert framed is not None
        assert framed.get_by_text("Calls flow").count() == 0
    asked = {address for address in app.asked if address.startswith("POST")}
    assert asked == {"POST /trigger/poll?", "POST /trigger/alerts?"}, "these need no permission, but are refused"
    assert app.done == []
