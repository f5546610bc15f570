"""The Call Logger fails in every way that an API can."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping

from tests.faults.lab import Lab
from tests.faults.proxies import Answer, Forward, Request, Treatment
from tests.faults.site import Site
from tests.faults.treatments import refuse, reset_after, reset_before, slow, slow_answer, truncate
from tests.faults.verdict import Verdict

ROWS = 7
CLIENT_PATIENCE_S = 1.0
"""api.timeout_seconds of the workers."""


def is_submission(request: Request) -> bool:
    return request.kind == "api" and request.method == "POST"


def answers(rng: random.Random) -> Treatment:
    """A failure by lot; of 504 nobody knows whether the call got through, and here half of them did."""

    async def treat(request: Request, forward: Forward) -> Answer:
        status = rng.choice([500, 500, 502, 503, 503, 504])
        if status == 504 and rng.random() < 0.5:
            await forward()
        return await refuse(status)(request, forward)

    return treat


def too_many_requests(rng: random.Random) -> Treatment:
    waits = ["0", "5", "20", "Wed, 21 Oct 2015 07:28:00 GMT", "soon"]

    async def treat(request: Request, forward: Forward) -> Answer:
        return await refuse(429, headers={"retry-after": rng.choice(waits)})(request, forward)

    return treat


def one_of(*statuses: int) -> Callable[[random.Random], Treatment]:
    """One of these answers by lot, each time."""

    def make(rng: random.Random) -> Treatment:
        async def treat(request: Request, forward: Forward) -> Answer:
            return await refuse(rng.choice(statuses))(request, forward)

        return treat

    return make


def not_the_api(rng: random.Random) -> Treatment:
    """Answers that look like the API's and are not: a delivery network's, a TLS port's, a page's for everybody."""
    found = [
        (409, "text/plain", b"error code: 1001"),
        (400, "text/html", b"<html>The plain HTTP request was sent to HTTPS port</html>"),
        (201, "text/html", b"<html>welcome</html>"),
    ]

    async def treat(request: Request, forward: Forward) -> Answer:
        status, kind, body = rng.choice(found)
        return await refuse(status, headers={"content-type": kind}, body=body)(request, forward)

    return treat


def late_insert(rng: random.Random) -> Treatment:
    """The insert comes after the client has given up, and before its claim on the call ends."""
    return slow(lambda: CLIENT_PATIENCE_S + rng.uniform(0.05, 1.5))


FAULTS: Mapping[str, Callable[[random.Random], Treatment]] = {
    "500, 502, 503, 504": answers,
    "429 with Retry-After": too_many_requests,
    "reset before the insert": lambda _: reset_before,
    "answer lost after the insert": lambda _: reset_after,
    "answer cut off": lambda _: truncate,
    "inserted after the client gave up": late_insert,
    "inserted at once, answered after the client gave up": lambda _: slow_answer(CLIENT_PATIENCE_S + 0.5),
    "401 and 403": one_of(401, 403),
    "answers that are not the API's": not_the_api,
    "404, 405 and redirects": one_of(404, 405, 302),
}


def misbehaves(lab: Lab, rng: random.Random, *, fault: str, workers: int = 2) -> tuple[Verdict, int]:
    """The first submissions are all treated badly, later ones by lot."""
    with Site(lab, rng, workers=workers) as site:
        act = FAULTS[fault](rng)
        site.faults.add(is_submission, site.faults.at_most(rng.randint(2, 4), act))
        site.add_mixed(ROWS)
        return site.settle(), site.faults.injected


def resets_by_lot(lab: Lab, rng: random.Random, *, share: float) -> tuple[Verdict, int]:
    """A share of all submissions is reset, half of them before the insert and half after it."""

    async def act(request: Request, forward: Forward) -> Answer:
        return await rng.choice([reset_before, reset_after])(request, forward)

    with Site(lab, rng, workers=2) as site:
        site.faults.add(is_submission, site.faults.often(share, rng, act, always=rng.randint(1, ROWS)))
        site.add_mixed(3 * ROWS)
        return site.settle(), site.faults.injected


def goes_down(lab: Lab, rng: random.Random) -> tuple[Verdict, int]:
    """Nobody listens on the API's port for some (simulated) minutes, from the start or from the midst of the work."""
    with Site(lab, rng, workers=2) as site:
        at_first = rng.random() < 0.5
        if at_first:
            site.add_mixed(ROWS)
        site.start()
        if not at_first:
            site.add_mixed(ROWS)
            site.wait_for(lambda: len(site.books.entries()) >= rng.randint(0, 3))
        for worker in site.workers:
            worker.proxies["api"].port.close()
            site.faults.injected += 1
        site.add("good", "unanswered")
        site.pause(rng.uniform(0.5, 4))
        for worker in site.workers:
            worker.proxies["api"].port.open()
        return site.settle(), site.faults.injected


def everything_is_rejected(lab: Lab, rng: random.Random) -> tuple[Verdict, int]:
    """The API refuses every call with 400, as after a change of its rules. Past the limit of rejections a minute, calls
    are put back; when the API is mended, those are logged."""
    limit = 3
    with Site(lab, rng, workers=1, more={"calls": {"max_rejections_per_minute": limit}}) as site:
        rows = site.add(*["good"] * (limit + ROWS))
        for row_id in rows:
            site.books.expected[row_id] = "submitted|rejected"
        refusal = refuse(400, headers={"content-type": "application/json"}, body=b'{"status": 400}')
        # No minute passes for the limit: it opens again by the workers' clock, after two seconds of ours.
        site.faults.add(is_submission, site.faults.counted(refusal))
        site.start()
        site.wait_for(lambda: site.faults.injected > limit)
        site.faults.clear()
        verdict = site.settle()
        rejected = sum(record["state"] == "rejected" for record in site.books.records())
        if not limit <= rejected <= 3 * limit:
            verdict.problems.append(f"{rejected} calls were rejected, the limit is {limit} a minute")
        return verdict, site.faults.injected
