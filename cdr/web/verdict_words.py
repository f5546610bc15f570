"""Whether calls flow, in words for who looks at the page at three in the morning: what is so, and what to do first."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from cdr.operations.verdict import Flow, Part

Tone = Literal["good", "late", "bad", "none"]

WORDS: Mapping[Flow, tuple[str, Tone]] = {
    Flow.FLOWS: ("Calls flow", "good"),
    Flow.LATE: ("Calls are late", "late"),
    Flow.STOPPED: ("Calls do not flow", "bad"),
    Flow.NONE_YET: ("No calls yet", "none"),
}

SENTENCES: Mapping[tuple[Flow, Part | None], str] = {
    (Flow.FLOWS, None): "Every part does its work",
    (Flow.LATE, Part.POLL): "Reading is behind the phone system",
    (Flow.LATE, Part.API): "Submitting is behind: more calls come than the Call Logger takes",
    (Flow.STOPPED, Part.CONFIGURATION): "The configuration is not usable",
    (Flow.STOPPED, Part.STORAGE): "The storage account does not do its work",
    (Flow.STOPPED, Part.PHONE_SYSTEM): "The phone system's calls cannot be read",
    (Flow.STOPPED, Part.POLL): "Polls do not come through",
    (Flow.STOPPED, Part.API): "The Call Logger does not take calls",
    (Flow.NONE_YET, None): "Nothing is wrong, but nothing came through so far",
}

TO_DO: Mapping[tuple[Flow, Part | None], str] = {
    (Flow.LATE, Part.POLL): "It catches up by itself, also after a first start. If it is further behind in half an "
    "hour, look at the database's own load, and poll more often.",
    (Flow.LATE, Part.API): "They go in by themselves. If they only become more, look at how fast the Call Logger "
    "answers, and at maximumInstanceCount.",
    (Flow.STOPPED, Part.CONFIGURATION): "Mend each line below in the file or the app settings, and deploy. Calls wait "
    "meanwhile, and none is lost.",
    (Flow.STOPPED, Part.STORAGE): "Look at the account's roles, network rules and private endpoints, and at the "
    "platform's own state. Calls stay in the phone system or on the queue, and none is lost.",
    (Flow.STOPPED, Part.PHONE_SYSTEM): "If a setting is named, mend that. If it is out of reach, look at its server, "
    "the way there and the login. Calls stay in it, and are read afterwards; only if its records began again, it "
    "is a matter for POST /trigger/start-over.",
    (Flow.STOPPED, Part.POLL): "Restart the app; if no poll follows, start infra/after_publish.py once more. Calls "
    "stay in the phone system, and are read afterwards.",
    (Flow.STOPPED, Part.API): "If a setting is named, mend that; else bring the Call Logger back, or the way "
    "to it. Calls wait on the queue, and go in by themselves afterwards.",
    (Flow.NONE_YET, None): "If calls should be there by now, look at 3cx.start_from, and at what GET /preview tells of "
    "them.",
}
"""The first steps; docs/runbook.md has the others, under the alert of each."""
