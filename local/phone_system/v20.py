"""Plays calls of a V20 phone system: their legs as rows of ``cdroutput``, and what is right of them.

What is right comes from the play itself, from who picked up when and hung up when, and knows nothing of the legs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from random import Random

from local.phone_system.office import LARGE_OFFICE, Office
from local.phone_system.plays import Play
from local.phone_system.stage import Leg, Row, Said, party

POLICIES = ("last_answered", "first_answered", "longest", "each")


@dataclass(frozen=True)
class Answer:
    """An entry as it should be; ``answered_at`` None and no talk where nobody talked."""

    extension: str
    direction: str
    number: str | None
    talk: timedelta
    answered_at: datetime | None
    ended_at: datetime
    group: str | None


@dataclass(frozen=True)
class PlayedCall:
    """``rows`` as they are in the end. ``owners`` has no entries where nobody talked, ``unanswered`` is for that."""

    shape: str
    id: str
    rows: list[Row]
    owners: dict[str, list[Answer]]
    unanswered: Answer | None
    started_at: datetime
    ended_at: datetime


@dataclass(frozen=True)
class _Review:
    """What there is to see of a play that is over, and what is right of it."""

    stage: Play
    begin: datetime

    def call(self, shape: str) -> PlayedCall:
        names = {
            flow: self.stage.new_id() for flow in dict.fromkeys(leg.row["call_history_id"] for leg in self.stage.legs)
        }
        rows = [self._row_of(leg, names) for leg in self.stage.legs]
        ended = max(leg.ended or 0 for leg in self.stage.legs)
        said = sorted(self.stage.said, key=lambda each: each.leg.answered or 0)
        owners = {policy: self._owners(policy, said) for policy in POLICIES}
        unanswered = None if said else self._nobody_talked(self._at(ended))
        return PlayedCall(
            shape, names[1], rows, owners, unanswered, self._at(self.stage.legs[0].started), self._at(ended)
        )

    def _row_of(self, leg: Leg, names: dict[int, str]) -> Row:
        flow = leg.row["call_history_id"]
        return leg.row | {
            "call_history_id": names[flow],
            "main_call_history_id": names[1],
            "cdr_started_at": self._at(leg.started),
            "cdr_answered_at": None if leg.answered is None else self._at(leg.answered),
            "cdr_ended_at": self._at(leg.ended or 0),
        }

    def _at(self, moment: int) -> datetime:
        return self.begin + timedelta(milliseconds=moment)

    def _owners(self, policy: str, said: Sequence[Said]) -> list[Answer]:
        everybody = list(dict.fromkeys(each.extension for each in said))
        answers = [self._answer([each for each in said if each.extension == person]) for person in everybody]
        if policy == "each":
            callers = dict.fromkeys(each.caller for each in said if each.caller and each.caller not in everybody)
            begun = ([each for each in said if each.caller == caller] for caller in callers)
            return [*answers, *(self._answer(own, begun=True) for own in begun)]
        if not said or policy == "first_answered":
            return answers[:1]
        if policy == "last_answered":
            return [answers[everybody.index(said[-1].extension)]]
        return [next(answer for answer in answers if answer.talk == max(each.talk for each in answers))]

    def _answer(self, own: Sequence[Said], *, begun: bool = False) -> Answer:
        last = own[-1]
        extension, number, direction = last.extension, last.number, last.direction
        if begun:
            extension, number, direction = number, extension, "OUTBOUND"
        talk = sum((each.leg.ended or 0) - (each.leg.answered or 0) for each in own)
        first, end = self._at(own[0].leg.answered or 0), self._at(last.leg.ended or 0)
        return Answer(extension, direction, number or None, timedelta(milliseconds=talk), first, end, last.group)

    def _nobody_talked(self, ended_at: datetime) -> Answer | None:
        nothing = timedelta()
        if self.stage.dialled:
            return Answer(self.stage.dialled[0], "OUTBOUND", self.stage.dialled[1], nothing, None, ended_at, None)
        who = next(
            (self.stage.addressed[kind] for kind in ("line", "group", "machine") if kind in self.stage.addressed), None
        )
        if who is None:
            return None
        number = self.stage.caller["participant_phone_number" if self.stage.is_from_outside else "dn_number"]
        return Answer(who, "INBOUND", number or None, nothing, None, ended_at, self.stage.addressed.get("group"))


def _inbound(stage: Play) -> None:
    stage.arrives()
    stage.anywhere("divert", "by_did")


def _over_a_machine(stage: Play) -> None:
    stage.arrives()
    stage.machine(stage.random.choice(["script", "ivr"]))
    if stage.chance(0.8):
        stage.anywhere("transfer")


def _into_a_queue(stage: Play) -> None:
    stage.arrives()
    stage.queue("divert", "by_did")


def _outbound(stage: Play) -> None:
    _dials_out(stage, stage.random.choice(stage.office.phones))


def _dials_out(stage: Play, phone: str) -> None:
    number = stage.random.choice(stage.office.mobiles)
    stage.dialled = (phone, number)
    line = stage.dials(party("extension", phone), number, "transfer" if stage.at else "call_init")
    if line is None:
        return
    stage.caller = {
        name.removeprefix("destination_"): value for name, value in line.row.items() if name.startswith("destination_")
    }
    stage.talks(line, phone)
    stage.after(1_000, 200_000)
    if stage.chance(0.5):
        stage.random.choice([stage.transfers, stage.attended, stage.consults_outside])(line, phone)


def _internal(stage: Play) -> None:
    stage.caller = party("extension", stage.office.colleague)
    stage.anywhere("call_init")


def _click_to_call(stage: Play) -> None:
    phone = stage.random.choice(stage.office.phones)
    own = stage.leg(party("ivr", "MakeCall"), party("extension", phone), "call_init")
    stage.at = own
    if stage.chance(0.2):
        return
    stage.answer(own)
    stage.waiting = [(own, "continued_in", "none")]
    _dials_out(stage, phone)


def _paging(stage: Play) -> None:
    stage.caller = party("extension", stage.office.colleague)
    page = stage.leg(stage.caller, party("paging_group", "740"), "call_init")
    page.answered = stage.now
    for number in stage.random.sample(stage.office.phones, 3):
        stage.answer(stage.leg(stage.caller, party("extension", number), "route_to", "polling", origin=page))


SHAPES: dict[str, Callable[[Play], None]] = {
    "inbound": _inbound,
    "over a machine": _over_a_machine,
    "into a queue": _into_a_queue,
    "outbound": _outbound,
    "internal": _internal,
    "click to call": _click_to_call,
    "paging": _paging,
}


def play(
    random: Random,
    begin: datetime,
    shape: str | None = None,
    *,
    office: Office = LARGE_OFFICE,
    pace: Callable[[int], int] = int,
) -> PlayedCall:
    """A call of one of the ``SHAPES`` that begins at an aware moment; what happens within the shape is chance.

    ``pace`` makes another wait, in milliseconds, of each that is played.
    """
    name = shape or random.choice(list(SHAPES))
    stage = Play(random, office, pace)
    SHAPES[name](stage)
    stage.hang_up()
    return _Review(stage, begin).call(name)
