"""What people do with a V20 phone system: where callers get to, and what those do who talk to them. All by chance."""

from __future__ import annotations

from collections.abc import Callable

from local.phone_system.stage import Leg, Party, Stage, line_to, party

Way = Callable[[Leg, str], None]
"""How a call goes on from a leg and its phone."""


class Play(Stage):
    """One call. Its methods take the way that the caller comes (``method``, ``why``) or the leg and the phone."""

    def arrives(self) -> None:
        self.caller = line_to(self.new_id(), self.random.choice(self.office.callers), incoming=True)
        self.at = self.leg(self.caller, party("inbound_routing", self.office.number), "call_init")
        self.redirects("by_did")

    def machine(self, kind: str) -> None:
        leg = self.to(party(kind, self.random.choice(self.office.machines)), "divert", "by_did")
        self.answer(leg)
        self.talking = leg
        self.waiting = [(leg, "continued_in", "none")]
        self.after(500, 20_000)

    def anywhere(self, method: str, why: str = "none") -> None:
        self.hops -= 1
        places = [self.phone, self.phone, self.queue, self.ring_group, self.empty_group_first]
        self.random.choice(places if self.hops > 0 else [self.phone])(method, why)

    def phone(self, method: str, why: str = "none") -> None:
        number = self.random.choice(self.office.phones)
        leg = self.to(party("extension", number), method, why)
        outcomes: list[Way] = 4 * [self.picks_up] + [self.picked_up, self.gives_up, self.mailbox]
        self.random.choice(outcomes + [self.forwards, self.mobile] * (self.hops > 0))(leg, number)

    def picks_up(self, leg: Leg, number: str) -> None:
        self.answer(leg)
        self.talks(leg, number)
        self.talking, self.at = leg, leg
        self.after(1_000, 400_000)
        self.hops -= 1
        ways: list[Way] = [self.gives_up]
        if self.hops > 0:
            ways += [self.transfers, self.transfers, self.attended]
        if self.is_from_outside:
            ways += [self.consults_outside, self.to_outside, self.listened_in]
        self.random.choice(ways)(leg, number)

    def picked_up(self, _: Leg, number: str) -> None:
        """By a colleague, from the ringing phone."""
        colleague = self.random.choice([phone for phone in self.office.phones if phone != number])
        self.after(1_000, 9_000)
        self.redirects("completed_elsewhere")
        self.picks_up(self.to(party("extension", colleague), "pickup"), colleague)

    def gives_up(self, _: Leg, __: str) -> None:
        """The call ends here."""

    def mailbox(self, _: Leg, number: str) -> None:
        self.after(1_000, 20_000)
        self.redirects("no_answer")
        self.answer(self.to(party("voicemail", number), "divert", "no_answer"))

    def forwards(self, _: Leg, __: str) -> None:
        why = self.random.choice(["no_answer", "busy", "forward_all", "not_registered"])
        self.redirects(why)
        self.anywhere("divert", why)

    def mobile(self, _: Leg, number: str) -> None:
        """The phone forwards to a mobile: whoever forwarded talks there."""
        if not self.is_from_outside:
            return
        self.redirects("no_answer")
        if line := self.dials(self.caller, self.random.choice(self.office.mobiles), "divert", "no_answer"):
            self.talks(line, number)

    def dials(self, source: Party, number: str, method: str, why: str = "none", flow: int = 1) -> Leg | None:
        """Over one line or, after a refusal, over another; None if nobody picks up."""
        self.at = rule = self.leg(
            source, party("outbound_rule", "", number), method, why, origin=self.at, base=self.talking, flow=flow
        )
        for _ in range(self.random.randint(0, 1)):
            line = line_to(self.new_id(), number, incoming=False)
            self.end_refused(self.leg(source, line, "route_to", "polling", origin=rule, flow=flow))
        line = line_to(self.new_id(), number, incoming=False)
        leg = self.leg(source, line, "route_to", "polling", origin=rule, flow=flow)
        if self.chance(0.3):
            return None
        self.waiting.append((rule, "redirected", "polling"))
        self.answer(leg)
        self.at, self.talking = leg, leg
        return leg

    def end_refused(self, leg: Leg) -> None:
        self.after(100, 900)
        self.end(leg, "rejected")

    def queue(self, method: str, why: str = "none") -> None:
        """Agents are rung in rounds, none in the last one of those who give up."""
        self.group = self.random.choice(self.office.queues)
        self.addressed["group"] = self.group
        leg = self.to(party("queue", self.group), method, why)
        self.answer(leg)
        self.talking = leg
        self.waiting = [(leg, "continued_in", "polling")]
        for _ in range(self.random.randint(0, 2)):
            self.rings_in_vain(leg, "timeout")
        outcomes = [self.agent] * 3 + [self.gives_up, self.queue_gives_up, self.diverts]
        if self.is_from_outside and self.caller["participant_is_incoming"] and not self.said:
            outcomes.append(self.callback)
        self.random.choice(outcomes)(leg, "")

    def rings_in_vain(self, group: Leg, details: str) -> None:
        polls = [self.polls(group, number) for number in self.two_agents()]
        self.after(2_000, 15_000)
        for poll in polls:
            self.end(poll, "cancelled", details)

    def two_agents(self) -> list[str]:
        return self.random.sample(self.office.agents_of(self.group), 2)

    def polls(self, group: Leg, number: str) -> Leg:
        return self.leg(self.caller, party("extension", number), "route_to", "polling", origin=group)

    def agent(self, group: Leg, _: str) -> None:
        number, other = self.two_agents()
        vain, poll = self.polls(group, other), self.polls(group, number)
        self.end(vain, *self.random.choice([("cancelled", "completed_elsewhere"), ("rejected", "busy")]))
        self.picks_up(poll, number)

    def queue_gives_up(self, leg: Leg, _: str) -> None:
        self.waiting[-1] = (leg, "continued_in", "no_answer")
        self.anywhere("route_to", "no_answer")

    def diverts(self, group: Leg, _: str) -> None:
        """A phone that is rung sends the caller to its mailbox or to a mobile."""
        number = self.random.choice(self.office.agents_of(self.group))
        self.at = self.polls(group, number)
        self.redirects("none")
        if not self.is_from_outside or self.chance(0.5):
            self.answer(self.to(party("voicemail", number), "divert"))
        elif line := self.dials(self.caller, self.random.choice(self.office.mobiles), "divert"):
            self.talks(line, number)

    def callback(self, queue: Leg, _: str) -> None:
        number = self.random.choice(self.office.agents_of(self.group))
        self.after(5_000, 60_000)
        bell = party("ivr", "QCB")
        waits = self.leg(party("queue", str(self.group)), bell, "route_to", "callback_requested", origin=queue)
        self.end(queue, "continued_in", "callback_requested", waits)
        self.waiting = []
        rung = self.leg(bell, party("extension", number), "route_to", "polling", origin=waits)
        self.answer(rung)
        again = line_to(self.new_id(), self.caller["participant_phone_number"], incoming=False)
        back = self.leg(party("extension", number), again, "route_to", "callback", origin=rung)
        self.end(waits, "continued_in", "polling", rung)
        self.end(rung, "continued_in", "callback", back)
        self.at = back
        if self.chance(0.6):
            self.answer(back)
            self.talks(back, number, again)

    def ring_group(self, method: str, why: str = "none") -> None:
        number = self.random.choice(self.office.ring_groups)
        leg = self.to(party("ring_group_ring_all", number), method, why)
        self.group = self.addressed["group"] = number
        if self.chance(0.3):
            self.rings_in_vain(leg, "timeout")
            self.redirects("no_answer")
            self.anywhere("divert", "no_answer")
        else:
            self.waiting.append((leg, "redirected", "polling"))
            self.random.choice([self.agent, self.agent, self.gives_up])(leg, "")

    def empty_group_first(self, method: str, why: str = "none") -> None:
        self.empty_group = self.random.choice(self.office.empty_groups)
        self.addressed["group"] = self.empty_group
        self.to(party("ring_group_hunt", self.empty_group), method, why)
        self.redirects("no_destinations")
        self.anywhere("divert", "no_destinations")

    def transfers(self, leg: Leg, _: str) -> None:
        self.waiting = [(leg, "continued_in", "none")]
        self.anywhere("transfer")

    def to_outside(self, leg: Leg, _: str) -> None:
        self.waiting = [(leg, "continued_in", "none")]
        self.dials(self.caller, self.random.choice(self.office.mobiles), "transfer")

    def attended(self, leg: Leg, number: str) -> None:
        colleague = self.random.choice([phone for phone in self.office.phones if phone != number])
        me = party("extension", number)
        asks = self.leg(me, party("extension", colleague), "call_init", flow=2 + len(self.legs))
        self.answer(asks)
        if not self.is_from_outside:
            self.talks(asks, colleague, me)
        self.after(2_000, 60_000)
        joins = self.leg(self.caller, party("extension", colleague), "join", origin=leg)
        joins.started = self.now
        self.end(leg, "continued_in", "joined", joins)
        self.end(asks, "continued_in", "joined", joins)
        self.after(1, 5)
        self.picks_up(joins, colleague)

    def consults_outside(self, leg: Leg, number: str) -> None:
        here, self.at, self.talking = self.at, None, None
        flow = 2 + len(self.legs)
        line = self.dials(party("extension", number), self.random.choice(self.office.mobiles), "call_init", flow=flow)
        self.at = here
        if line is None:
            return
        self.after(2_000, 60_000)
        other = {name.removeprefix("destination_"): value for name, value in line.row.items() if "destination_" in name}
        joins = self.leg(self.caller, other, "join", origin=leg)
        joins.answered = self.now
        self.end(leg, "continued_in", "joined", joins)
        self.end(line, "continued_in", "joined", joins)

    def listened_in(self, leg: Leg, number: str) -> None:
        method = self.random.choice(["barge_in", "barge_in_listen", "barge_in_whisper"])
        listens = self.leg(party("extension", self.office.supervisor), party("extension", number), method, origin=leg)
        listens.answered = self.now
