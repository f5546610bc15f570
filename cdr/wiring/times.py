"""Every time that hangs together with another one."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cdr.calls.packing import Packing
    from cdr.submission.breakers import ApiBreaker
    from cdr.submission.retry import RetryPatience

LONGEST_ATTEMPT = timedelta(seconds=65)
"""Of one request to the API: the longest time-out that can be configured, and the connection before it."""


@dataclass(frozen=True, slots=True)
class Times:
    """A worker tries for less time than a call is its own, and the message comes again (``redelivery``, which is
    visibilityTimeout in host.json) only after that: so a call that was sent without an answer is never sent again while
    it may still be on its way in. What runs for ``longest_run``, functionTimeout there, is ended by the host.

    ``messages_at_once`` is what host.json lets an instance have in hand, ``calls_at_once`` what the API has to bear of
    one.

    :raises ValueError: they do not fit together
    """

    submit_budget: timedelta = timedelta(seconds=150)
    claim_lease: timedelta = timedelta(seconds=180)
    redelivery: timedelta = timedelta(seconds=210)
    longest_attempt: timedelta = LONGEST_ATTEMPT
    slow_attempt: timedelta = timedelta(seconds=2)
    messages_at_once: int = 16
    calls_at_once: int = 16
    first_delay: timedelta = timedelta(seconds=30)
    longest_delay: timedelta = timedelta(minutes=5)
    longest_delay_alone: timedelta = timedelta(minutes=30)
    after_the_lease: timedelta = timedelta(seconds=5)
    api_probe_every: timedelta = timedelta(seconds=5)
    api_forget_after: timedelta = timedelta(minutes=6)
    stalled_after: timedelta = timedelta(hours=1)
    unconfigured_delay: timedelta = timedelta(minutes=5)
    poll_lease: timedelta = timedelta(seconds=60)
    longest_look: timedelta = timedelta(seconds=20)
    poll_share_of_interval: float = 0.8
    longest_poll: timedelta = timedelta(minutes=5)
    longest_run: timedelta = timedelta(minutes=10)
    groups_lease: timedelta = timedelta(minutes=3)
    groups_longest_step: timedelta = timedelta(seconds=150)
    phone_book_every: timedelta = timedelta(minutes=15)
    addresses_fresh_for: timedelta = timedelta(seconds=30)
    look_again_after: timedelta = timedelta(minutes=5)
    learning_budget: timedelta = timedelta(seconds=45)
    http_budget: timedelta = timedelta(seconds=120)
    bookkeeping_budget: timedelta = timedelta(seconds=60)
    cleaning_budget: timedelta = timedelta(minutes=5)
    reconciling_budget: timedelta = timedelta(minutes=5)

    def __post_init__(self) -> None:
        rules = {
            "an attempt fits into the budget": self.longest_attempt < self.submit_budget,
            "the claim outlasts the budget": self.submit_budget < self.claim_lease,
            "a failed message comes after the claim": self.claim_lease < self.redelivery,
            "delays grow": self.first_delay <= self.longest_delay <= self.longest_delay_alone,
            "the breaker remembers for longer than a message waits": self.longest_delay < self.api_forget_after,
            "a message comes back before its claim counts as stalled": self.longest_delay_alone < self.stalled_after,
            "a poll is over before the host ends it": self.longest_poll + self.poll_lease < self.longest_run,
            "a group's turn fits into the lease": self.groups_longest_step < self.groups_lease,
            "who did not know of an extension is done by the second look": self.addresses_fresh_for + self.claim_lease
            < self.look_again_after,
        }
        if broken := [rule for rule, holds in rules.items() if not holds]:
            raise ValueError("; ".join(broken))

    def poll_budget(self, interval: timedelta) -> timedelta:
        """How long a poll goes on with what is new; its last batch may take as long as its lease after that."""
        return min(self.poll_share_of_interval * interval, self.longest_poll)

    @property
    def packing(self) -> Packing:
        """So many calls in a message that with an API that needs ``slow_attempt`` for each the last one is begun in
        time: 42."""
        from cdr.calls.packing import Packing

        most = (self.submit_budget - self.longest_attempt) // self.slow_attempt
        return Packing(self.messages_at_once, max(1, most))

    def patience(self, give_up_after: timedelta) -> RetryPatience:
        from cdr.submission.retry import RetryPatience

        return RetryPatience(
            give_up_after=give_up_after,
            claim_lease=self.claim_lease,
            first_delay=self.first_delay,
            longest_delay=self.longest_delay,
            longest_delay_alone=self.longest_delay_alone,
            after_the_lease=self.after_the_lease,
        )

    def api_breaker(self) -> ApiBreaker:
        from cdr.submission.breakers import ApiBreaker

        return ApiBreaker(
            probe_every=self.api_probe_every,
            forget_after=self.api_forget_after,
            longest_wait=self.longest_delay_alone,
        )
