"""Calls that never get in, among good ones that are not to be late because of them."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping

from tests.faults.delays import percentile
from tests.faults.lab import Lab
from tests.faults.proxies import Request, Treatment
from tests.faults.site import Site
from tests.faults.treatments import refuse
from tests.faults.verdict import Verdict

BAD, GOOD = 4, 24
LONGEST_DELAY_S = 240
"""Of good calls (p99, by the functions' clock, thirty times ours): a worker that is starved for two seconds is late by
a minute."""

JSON = {"content-type": "application/json"}
HTML = {"content-type": "text/html"}
OWN_REPORT = {"timestamp": "2026-11-22T10:00:00.000Z", "error": "x", "path": "/api/calls/from-pbx"}

ANSWERS: Mapping[str, tuple[Treatment, ...]] = {
    "always answered 500": (
        refuse(500, headers=JSON),
        refuse(500, headers=JSON, body=json.dumps({**OWN_REPORT, "status": 500}).encode()),
    ),
    "always refused": (refuse(400, headers=JSON, body=json.dumps({**OWN_REPORT, "status": 400}).encode()),),
    "always 403": (refuse(403, headers=HTML, body=b"<h1>Request blocked</h1>"),),
    "always 404": (refuse(404, headers=HTML, body=b"<h1>Not Found</h1>"), refuse(404, headers=JSON, body=b"{}")),
    "always a gateway's 502": (refuse(502, headers=HTML, body=b"<h1>Bad Gateway</h1>"),),
}


def among_good_ones(lab: Lab, rng: random.Random, *, kind: str) -> tuple[Verdict, int]:
    """Bad ones come first, and again and again between the others; in the end they are given up, or refused."""
    more = {"api": {"give_up_after": "4 minutes"}}
    with Site(lab, rng, workers=2, more=more) as site:
        bad: set[str] = set()
        site.faults.add(lambda r: r.kind == "api" and r.method == "POST" and _call(r) in bad, _act(site, rng, kind))
        for number in site.add(*["good"] * BAD, ended=False):
            bad.add(site.phone_system.pbx_call_id(number))
            site.books.expected[number] = "rejected"
            site.phone_system.end_call(number)
        return _good_ones_meanwhile(site)


def unmapped_among_good_ones(lab: Lab, rng: random.Random) -> tuple[Verdict, int]:
    """Hundreds would do; a dozen of extensions that nobody knows, more than may be rejected in a minute otherwise."""
    with Site(lab, rng, workers=2, more={"calls": {"max_rejections_per_minute": 3}}) as site:
        site.faults.injected += len(site.add(*["unmapped"] * 3 * BAD))
        return _good_ones_meanwhile(site)


def _act(site: Site, rng: random.Random, kind: str) -> Treatment:
    return site.faults.counted(rng.choice(ANSWERS[kind]))


def _call(request: Request) -> str:
    return str(json.loads(request.body).get("pbxCallId"))


def _good_ones_meanwhile(site: Site) -> tuple[Verdict, int]:
    site.start()
    for _ in range(GOOD // 4):
        site.add(*["good"] * 4)
        site.pause(site.rng.uniform(0.1, 0.4))
    verdict = site.settle()
    p99 = percentile(verdict.delays_s, 0.99) or 0
    if p99 > LONGEST_DELAY_S:
        verdict.problems.append(
            f"good calls were late by up to {p99:.0f} s (p99), at most {LONGEST_DELAY_S} s is right"
        )
    return verdict, site.faults.injected
