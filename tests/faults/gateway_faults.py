"""The gateway before the API has less patience than the workers, speaks for itself, drips, breaks, and loses what is
behind it."""

from __future__ import annotations

import random

from tests.faults.api_faults import CLIENT_PATIENCE_S, ROWS, is_submission
from tests.faults.gateway import Gateway
from tests.faults.lab import Lab
from tests.faults.proxies import Answer, Dropped, Forward, Request, Treatment
from tests.faults.site import Site
from tests.faults.verdict import Verdict

IMPATIENCE_S = 0.05
OWN_PAGES = (201, 400, 401, 403, 404, 405, 409, 413, 421, 422, 429, 431, 451, 499)
"""What gateways say of a request that they do not pass on: none of these in JSON is the API's word either."""

MADE = 201
ENTRY_OF_ANOTHER = b'{"id": "7d0c9f0e", "pbxCallId": "of another connection"}'

WHOEVER_WAITED = (408, 425, 500, 502, 503, 504, 507, 520, 522, 524, 530, 598)
"""What they say whether or not they have passed it on."""


def gives_up(lab: Lab, rng: random.Random) -> tuple[Verdict, int]:
    """The API takes a while between looking a call up and inserting it; the gateway has less patience, and says so in
    one of the ways that gateways have. Who sends the call again meanwhile has it entered twice."""
    with Site(lab, rng, workers=2) as site:
        site.gateway = Gateway(rng, IMPATIENCE_S)
        site.api.call_logger.race_window_s = CLIENT_PATIENCE_S * 0.7
        site.faults.add(is_submission, site.faults.counted(_as_it_is))
        site.add_mixed(ROWS)
        site.start()
        site.wait_for(lambda: site.faults.injected >= rng.randint(2, 4))
        site.gateway.patience_s = CLIENT_PATIENCE_S * 2
        site.faults.clear()
        return site.settle(), site.faults.injected


def speaks_for_itself(lab: Lab, rng: random.Random) -> tuple[Verdict, int]:
    """Pages of its own for most statuses that there are, half of the later ones after it has passed the call on."""
    with Site(lab, rng, workers=2) as site:

        async def act(_: Request, forward: Forward) -> Answer:
            status = rng.choice(OWN_PAGES + WHOEVER_WAITED)
            if status in WHOEVER_WAITED and rng.random() < 0.5:
                await forward()
            if status == MADE and rng.random() < 0.5:
                return Answer(MADE, [("content-type", "application/json")], ENTRY_OF_ANOTHER)
            page = site.gateway.page(status)
            is_text = page.headers[0][1] != "application/json"
            return (
                page if is_text or status in WHOEVER_WAITED else Answer(status, [("content-type", "text/html")], b"<p>")
            )

        return _first_submissions(site, act)


def drips(lab: Lab, rng: random.Random) -> tuple[Verdict, int]:
    """Answers come a byte at a time, from the first of the head or of the body: always too slow, never silent."""

    async def act(_: Request, forward: Forward) -> Answer:
        answer = await forward()
        answer.drip = rng.choice(["head", "body"])
        return answer

    with Site(lab, rng, workers=2) as site:
        return _first_submissions(site, act)


def breaks(lab: Lab, rng: random.Random) -> tuple[Verdict, int]:
    """Connections break before the call is passed on, after it, in the midst of the answer's head and of its body."""

    async def act(_: Request, forward: Forward) -> Answer:
        if rng.random() < 0.25:
            raise Dropped
        answer = await forward()
        if rng.random() < 0.33:
            raise Dropped
        if rng.random() < 0.5:
            answer.head_cut = rng.randrange(60)
        else:
            answer.cut = rng.randrange(len(answer.body) or 1)
        return answer

    with Site(lab, rng, workers=2) as site:
        site.gateway.shows_resets = True
        return _first_submissions(site, act)


def loses_the_api(lab: Lab, rng: random.Random) -> tuple[Verdict, int]:
    """Nobody is behind it for some (simulated) minutes, and it has a page for that."""

    async def act(_: Request, __: Forward) -> Answer:
        raise Dropped

    with Site(lab, rng, workers=2) as site:
        site.gateway.shows_resets = False
        site.start()
        site.add_mixed(ROWS)
        site.wait_for(lambda: len(site.books.entries()) >= rng.randint(0, 3))
        site.faults.add(lambda request: request.kind == "api", site.faults.counted(act))
        site.add("good", "unanswered")
        site.wait_for(lambda: site.faults.injected > 0)
        site.pause(rng.uniform(0.5, 4))
        site.faults.clear()
        return site.settle(), site.faults.injected


async def _as_it_is(_: Request, forward: Forward) -> Answer:
    return await forward()


def _first_submissions(site: Site, act: Treatment) -> tuple[Verdict, int]:
    site.faults.add(is_submission, site.faults.at_most(site.rng.randint(2, 4), act))
    site.add_mixed(ROWS)
    return site.settle(), site.faults.injected
