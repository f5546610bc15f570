"""What the page for people says: a status in words, and bars by their heights. Pure; the template only lays it out.

Times are told in the zone of the business hours, where the people are who read them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TypeVar
from zoneinfo import ZoneInfo

from cdr.calls.call import Reason
from cdr.groups.alerts import GroupState
from cdr.intake.poll_history import PollReport
from cdr.intake.ports import Progress
from cdr.operations.ports import LedgerCounts
from cdr.operations.side_by_side import Problem
from cdr.operations.status import Depths, ExtensionsNow, GroupNow, HoursNow, Lagging, Status
from cdr.operations.verdict import LATE_AFTER, MANY_WAITING, MISCONFIGURED, Verdict
from cdr.web.chart import SHOWN, Chart, chart_of
from cdr.web.verdict_words import SENTENCES, TO_DO, WORDS, Tone

Told = tuple[str, str, Tone]
"""Of a fact: its value, a hint, and how it is."""

Found = TypeVar("Found")
Shown = TypeVar("Shown")

SECOND_MS = 1000

GROUP_TONES: Mapping[GroupState, Tone] = {
    GroupState.OK: "good",
    GroupState.SUSPECT: "late",
    GroupState.ALERTED: "bad",
    GroupState.UNKNOWN: "late",
    GroupState.CLOSED: "none",
}
GROUP_WORDS: Mapping[GroupState, str] = {
    GroupState.OK: "somebody is there",
    GroupState.SUSPECT: "perhaps nobody is there",
    GroupState.ALERTED: "nobody is there",
    GroupState.UNKNOWN: "nobody can say who is there",
    GroupState.CLOSED: "closed",
}


@dataclass(frozen=True, slots=True)
class Moment:
    """``iso`` for programs, ``text`` for people."""

    iso: str
    text: str


@dataclass(frozen=True, slots=True)
class Headline:
    word: str
    tone: Tone
    sentence: str
    since: Moment | None
    why: str
    to_do: str


@dataclass(frozen=True, slots=True)
class Fact:
    """A number, or a word, with what it is called."""

    name: str
    value: str
    hint: str = ""
    tone: Tone = "none"


@dataclass(frozen=True, slots=True)
class PollLine:
    at: Moment
    tone: Tone
    word: str
    text: str


@dataclass(frozen=True, slots=True)
class ReasonLine:
    """Calls that were rejected for a reason."""

    reason: str
    sentence: str
    count: int


@dataclass(frozen=True, slots=True)
class GroupLine:
    name: str
    tone: Tone
    word: str
    text: str


@dataclass(frozen=True, slots=True)
class Page:
    """What cannot be told is a text in its place, which says why. ``zone`` is that of all times."""

    headline: Headline
    facts: Sequence[Fact] = ()
    chart: Chart | str = ""
    polls: Sequence[PollLine] | str = ()
    rejected: Sequence[ReasonLine] | str = ()
    groups: Sequence[GroupLine] | str = ()
    notices: Sequence[str] = ()
    source: str = ""
    version: str = ""
    zone: str = "UTC"
    made: Moment | None = None


@dataclass(frozen=True, slots=True)
class Teller:
    """Tells times to somebody who reads them ``now``."""

    now: datetime
    zone: ZoneInfo

    def moment(self, at: datetime) -> Moment:
        local, today = at.astimezone(self.zone), self.now.astimezone(self.zone).date()
        day = "" if local.date() == today else f"{local.day} {local:%b} "
        return Moment(at.isoformat(timespec="seconds"), f"{day}{local:%H:%M}")

    def second(self, at: datetime) -> Moment:
        told = self.moment(at)
        return Moment(told.iso, f"{told.text}:{at:%S}")


def page_of(status: Status, verdict: Verdict, now: datetime) -> Page:
    tell = Teller(now, ZoneInfo(status.hours.timezone))
    return Page(
        headline=_headline(verdict, tell.moment(verdict.since) if verdict.since else None),
        facts=_facts(status, tell),
        chart=_or_why(status.ledger, lambda counts: chart_of(counts.hours, tell.zone)),
        polls=_or_why(status.polls, lambda history: _polls(history.polls, tell)),
        rejected=_or_why(status.ledger, lambda counts: _reasons(counts.rejected)),
        groups=_or_why(status.groups, lambda groups: [_group(group, tell) for group in groups]),
        notices=tuple(_notices(status, tell)),
        source=status.source if isinstance(status.source, str) else "",
        version=status.version,
        zone=status.hours.timezone,
        made=tell.second(now),
    )


def page_of_mistakes(mistakes: Sequence[str]) -> Page:
    return Page(headline=_headline(MISCONFIGURED, None), notices=tuple(mistakes))


def _headline(verdict: Verdict, since: Moment | None) -> Headline:
    word, tone = WORDS[verdict.flow]
    what = (verdict.flow, verdict.part)
    return Headline(word, tone, SENTENCES[what], since, _for_people(verdict.why), TO_DO.get(what, ""))


def _for_people(error: str) -> str:
    """Without the name of its kind, which is for programs."""
    return re.sub("^([A-Z][a-z]+){2,}: ", "", error)


def in_words(span: timedelta) -> str:
    """In the two largest of its units: 2 d 3 h, 45 s."""
    minutes, seconds = divmod(int(span.total_seconds()), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    units = ((days, "d"), (hours, "h"), (minutes, "min"), (seconds, "s"))
    first = next((place for place, (number, _) in enumerate(units) if number), len(units) - 1)
    largest, *rest = units[first : first + 2]
    return " ".join(f"{number} {unit}" for number, unit in (largest, *(each for each in rest if each[0])))


def _facts(status: Status, tell: Teller) -> Sequence[Fact]:
    return (
        _lag(status),
        _queue(status),
        _poison(status),
        Fact("Call Logger", *_or_not(status.api, lambda _: ("answers", "", "good"))),
        Fact("Read up to", *_or_not(status.progress, lambda found: _progress(found, tell))),
        Fact("In the ledger", *_or_not(status.ledger, _ledger)),
        Fact("Extensions with an address", *_or_not(status.extensions, lambda found: _extensions(found, tell))),
        Fact("Business hours", "open" if status.hours.open else "closed", _changes(status.hours, tell)),
    )


def _lag(status: Status) -> Fact:
    def told(lagging: Lagging) -> Told:
        late = lagging.seconds > LATE_AFTER.total_seconds()
        ids = f"{lagging.lag.behind:,} ids to read" if lagging.lag.behind else "nothing to read"
        return in_words(timedelta(seconds=lagging.seconds)), ids, "late" if late else "good"

    return Fact("Behind the phone system", *_or_not(status.lag, told))


def _queue(status: Status) -> Fact:
    def told(depths: Depths) -> Told:
        return f"{depths.waiting:,}", "messages to be submitted", "late" if depths.waiting >= MANY_WAITING else "good"

    return Fact("On the queue", *_or_not(status.queue, told))


def _poison(status: Status) -> Fact:
    def told(depths: Depths) -> Told:
        return f"{depths.poison:,}", "messages given up by the host", "bad" if depths.poison else "good"

    return Fact("On the poison queue", *_or_not(status.queue, told))


def _progress(progress: Progress, tell: Teller) -> Told:
    waits = f"{progress.open_calls} calls not over, {progress.missing_ids} ids missing"
    return "nothing yet" if progress.position is None else _position(progress.position, tell), waits, "none"


def _position(position: int | str, tell: Teller) -> str:
    """An id, or a time, which some sources are read by."""
    try:
        moment = datetime.fromisoformat(position) if isinstance(position, str) else None
    except ValueError:
        moment = None
    return tell.second(moment).text if moment and moment.tzinfo else str(position)


def _ledger(counts: LedgerCounts) -> Told:
    by_state = {state.value: counts.states.get(state, 0) for state in SHOWN}
    more = "" if counts.complete else "at least "
    hint = ", ".join(f"{number:,} {state}" for state, number in by_state.items() if number)
    return f"{more}{sum(by_state.values()):,}", hint, "none"


def _extensions(extensions: ExtensionsNow, tell: Teller) -> Told:
    book = extensions.phone_book
    read = f"phone book of {tell.moment(book.read_at).text}" if book and book.read_at else ""
    return str(extensions.in_file + extensions.elsewhere), read, "none"


def _changes(hours: HoursNow, tell: Teller) -> str:
    return f"until {tell.moment(hours.changes_at).text}" if hours.changes_at else ""


def _polls(polls: Sequence[PollReport], tell: Teller) -> Sequence[PollLine]:
    """Why several failed is told once."""
    newer: PollReport | None = None
    lines = []
    for poll in polls:
        is_same = newer is not None and newer.has_failed and poll.has_failed and newer.error == poll.error
        line = _poll(poll, tell)
        lines.append(replace(line, text="for the same reason") if is_same and line.text else line)
        newer = poll
    return lines


def _poll(poll: PollReport, tell: Teller) -> PollLine:
    took = in_seconds(poll.duration_ms)
    if poll.has_failed:
        return PollLine(tell.second(poll.at), "bad", poll.result, _for_people(poll.error or ""))
    calls = f"{poll.queued} call{'s' * (poll.queued != 1)}" if poll.queued else "no calls"
    return PollLine(tell.second(poll.at), "good" if poll.queued else "none", poll.result, f"{calls}, {took}")


def in_seconds(milliseconds: int) -> str:
    return f"{milliseconds / 1000:.1f} s" if milliseconds >= SECOND_MS else f"{milliseconds} ms"


def _reasons(counts: Mapping[str, int]) -> Sequence[ReasonLine]:
    """The most frequent first; a reason of a newer version has no sentence here."""
    known = {reason.value: reason.sentence for reason in Reason}
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return [ReasonLine(reason, known.get(reason, ""), number) for reason, number in ordered if number]


def _group(group: GroupNow, tell: Teller) -> GroupLine:
    name = f"{group.name} ({group.id})" if group.name else group.id
    view = group.view
    if view is None:
        return GroupLine(name, "none", "not checked", "nobody can be asked: call_groups.members.source is none")
    if view.state is None:
        return GroupLine(name, "none", "not checked yet", "")
    told = []
    if view.available is not None:
        told.append(f"{view.available} of {view.members} available")
    if view.since:
        told.append(f"since {tell.moment(view.since).text}")
    if view.resolved_by_hand:
        told.append("alert ended by hand")
    elif view.alert_id:
        told.append("alert raised")
    return GroupLine(name, GROUP_TONES[view.state], GROUP_WORDS[view.state], ", ".join(told))


def _notices(status: Status, tell: Teller) -> Iterator[str]:
    """What does not keep calls, but wants to be known."""
    if not isinstance(status.queue, Problem) and status.queue.poison:
        yield f"{status.queue.poison:,} messages lie on the poison queue, until they are kept as rejected"
    if not isinstance(status.ledger, Problem) and not status.ledger.complete:
        yield "What earlier versions wrote into the ledger is still being counted"
    if not isinstance(status.source_watch, Problem):
        for found in status.source_watch:
            yield f"Since {tell.moment(found.since).text}: {found.detail}"
    if not isinstance(status.extensions, Problem) and (book := status.extensions.phone_book):
        if book.failure:
            yield f"The phone book could not be read: {book.failure}"
        if problems := len(book.book.problems):
            yield f"{problems} extensions of the phone book have no usable address"
    if isinstance(status.progress, Problem) and not isinstance(status.polls, Problem):
        yield _for_people(status.progress.error)


def _or_not(found: Found | Problem, told: Callable[[Found], Told]) -> Told:
    return ("not known", _for_people(found.error), "none") if isinstance(found, Problem) else told(found)


def _or_why(found: Found | Problem, told: Callable[[Found], Shown]) -> Shown | str:
    return _for_people(found.error) if isinstance(found, Problem) else told(found)
