"""The page as HTML, and the headers that let a browser do nothing with it but show it."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import azure.functions as func

from cdr.calls.call import State
from cdr.web.chart import SHOWN

if TYPE_CHECKING:
    from jinja2 import Template

    from cdr.web.page import Page

TEMPLATES = Path(__file__).parent / "templates"

OUTCOMES = {State.SUBMITTED: "submitted", State.SKIPPED: "not for the Call Logger", State.REJECTED: "rejected"}


def html_answer(page: Page | None, nonce: str, status: int = 200) -> func.HttpResponse:
    """``page`` None: a page without anything on it, which asks for the key. ``nonce`` is good for this answer alone."""
    text = _template().render(page=page, nonce=nonce, outcomes=[OUTCOMES[state] for state in SHOWN])
    raw = text.encode("utf-8", "replace")
    return func.HttpResponse(raw, status_code=status, mimetype="text/html", headers=_headers(nonce))


def _headers(nonce: str) -> dict[str, str]:
    """No other site may frame it, no script but its own runs, and nothing goes anywhere but back here."""
    policy = (
        "default-src 'none'",
        f"script-src 'nonce-{nonce}'",
        f"style-src 'nonce-{nonce}'",
        "connect-src 'self'",
        "img-src data:",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
    return {
        "Cache-Control": "no-store",
        "Content-Security-Policy": "; ".join(policy),
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cross-Origin-Resource-Policy": "same-origin",
        "Referrer-Policy": "no-referrer",
        "X-Content-Type-Options": "nosniff",
        "X-Frame-Options": "DENY",
        "Vary": "Accept",
    }


@cache
def _template() -> Template:
    """The template engine is imported when the first page is made: a cold start has no use for it."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    loader = FileSystemLoader(TEMPLATES)
    environment = Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return environment.get_template("page.html")
