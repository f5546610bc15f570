"""What each use case takes, and when the timers fire. It runs nothing."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import timedelta
from typing import TYPE_CHECKING

from cdr import __version__
from cdr.wiring.ports import Ports
from cdr.wiring.schedule import ncrontab, of_hours
from shared.config.intervals import CHECK_MINUTES, POLL_SECONDS, RECONCILE_EVERY
from shared.errors import InvalidConfig, StorageUnavailable
from shared.once import once
from shared.telling import telling_of_storage

if TYPE_CHECKING:
    from cdr.groups.check import GroupCheck
    from cdr.groups.notices import WatchedGroup
    from cdr.intake.poll import Poller
    from cdr.intake.ports import SourceWatch
    from cdr.operations.health import Check, HealthCheck
    from cdr.operations.learn_addresses import Learner
    from cdr.operations.preview import Previewer
    from cdr.operations.reconcile import Reconciler
    from cdr.operations.replay import Replayer
    from cdr.operations.retention import Cleaner
    from cdr.operations.side_by_side import Troubles
    from cdr.operations.status import Overview
    from cdr.operations.sum_up import Bookkeeper
    from cdr.submission.poison import PoisonKeeper
    from cdr.submission.worker import Worker


class Parts(Ports):
    """The app's parts. The only place that knows both the use cases and, by way of its ports, the edges."""

    # When the timers fire. With a broken configuration at the default intervals.

    @property
    def check_schedule(self) -> str:
        chosen = self.intervals
        return ncrontab(60 * (chosen.check_minutes if chosen else CHECK_MINUTES.usual))

    @property
    def poll_schedule(self) -> str:
        chosen = self.intervals
        return ncrontab(chosen.poll_seconds if chosen else POLL_SECONDS.usual)

    @property
    def reconcile_schedule(self) -> str:
        """Also where it is switched off: then the function has nothing to do."""
        chosen = self.intervals
        every = chosen.reconcile_every if chosen else RECONCILE_EVERY
        return of_hours(RECONCILE_EVERY if every == "never" else every)

    @property
    def days_to_reconcile(self) -> int | None:
        """None: it is switched off."""
        chosen = self.settings.reconcile
        return None if chosen.every == "never" else chosen.days

    # What the use cases take.

    @property
    def poller(self) -> Poller:
        from cdr.intake.poll import Poller
        from cdr.wiring import plans

        three_cx = self.settings.three_cx
        return Poller(
            source=self.source,
            queue=self.queue,
            positions=self.positions,
            clock=self.clock,
            time_budget=self.times.poll_budget(timedelta(seconds=three_cx.polling_interval_seconds)),
            lease=self.times.poll_lease,
            start_from=plans.start_from(three_cx),
            watch=self.source_watch,
            packing=self.times.packing,
            seen_queue=self.seen_queue,
            poison_queue=self.seen_poison_queue,
        )

    @once
    def source_watch(self) -> SourceWatch:
        from cdr.operations.source_watch import SourceWatcher
        from cdr.wiring import plans

        settings = self.settings
        hours, delay = plans.make_hours(settings.business_hours), plans.leg_patience(settings.three_cx).overlap
        return SourceWatcher(self.clock, hours, delay, self.newest_call, settings.calls.pbx_call_id or "")

    @once
    def worker(self) -> Worker:
        from cdr.submission.breakers import RejectionBreaker
        from cdr.submission.concurrency import Hands
        from cdr.submission.joined_ledger import JoinedLedger
        from cdr.submission.worker import Worker
        from cdr.wiring import plans

        settings = self.settings
        if "ledger" not in self._replaced:
            with telling_of_storage():
                self.account.tell_time()  # claims are made by a time that all workers share, the very first one too
        return Worker(
            ledger=JoinedLedger(self.ledger),
            api=self.api,
            queue=self.queue,
            clock=self.clock,
            api_breaker=self.times.api_breaker(),
            rejections=RejectionBreaker(settings.calls.max_rejections_per_minute),
            random=random.random,
            patience=self.times.patience(settings.api.give_up_after),
            budget=self.times.submit_budget,
            longest_attempt=self.times.longest_attempt,
            rules=plans.call_rules(settings),
            hands=Hands(self.times.calls_at_once),
            addresses=self.addresses,
        )

    @property
    def poison_keeper(self) -> PoisonKeeper:
        from cdr.submission.poison import PoisonKeeper
        from cdr.wiring import plans

        rules = plans.call_rules(self.settings) if self.is_configured else None
        return PoisonKeeper(self.ledger, self.poison_queue, self.clock, rules)

    @property
    def watched_groups(self) -> Sequence[WatchedGroup]:
        from cdr.wiring import plans

        return plans.watched_groups(self.settings)

    @once
    def group_check(self) -> GroupCheck:
        from cdr.groups.check import GroupCheck
        from cdr.wiring import plans

        return GroupCheck(
            members=self.members,
            alerts=self.alerts,
            notifier=self.notifier,
            store=self.group_store,
            clock=self.clock,
            policy=plans.alert_policy(self.settings.call_groups),
            lease=self.times.groups_lease,
            longest_step=self.times.groups_longest_step,
        )

    @property
    def overview(self) -> Overview:
        from cdr.operations.status import Overview
        from cdr.wiring import plans
        from shared.config.groups import NoMembers

        groups = self.settings.call_groups
        return Overview(
            version=__version__,
            started_at=self.started_at,
            source=self.source,
            positions=self.seen_positions,
            queue=self.seen_queue,
            poison_queue=self.seen_poison_queue,
            check_api=self._check_api,
            records=self.seen_records,
            addresses=self.addresses,
            clock=self.clock,
            hours=plans.make_hours(self.settings.business_hours),
            groups={group.id: group.name for group in groups.monitored_groups},
            group_store=None if isinstance(groups.members, NoMembers) else self.seen_group_store,
            poll_interval=timedelta(seconds=self.settings.three_cx.polling_interval_seconds),
            troubles=self._troubles,
        )

    @once
    def _troubles(self) -> Troubles:
        from cdr.operations.side_by_side import Troubles

        return Troubles()

    @once
    def health(self) -> HealthCheck:
        from cdr.operations.health import HealthCheck

        return HealthCheck(self._checks(), self.clock)

    @property
    def replayer(self) -> Replayer:
        from cdr.operations.replay import Replayer

        source = self.source if self.is_configured else None
        return Replayer(self.records, self.queue, self.clock, self.times.http_budget, source, self.bookkeeper)

    @property
    def bookkeeper(self) -> Bookkeeper:
        from cdr.operations.sum_up import Bookkeeper

        return Bookkeeper(self.records, self.positions, self.clock, self.times.bookkeeping_budget)

    @property
    def learner(self) -> Learner:
        from cdr.operations.learn_addresses import Learner
        from cdr.operations.replay import Replayer
        from cdr.submission.phone_book import PhoneBookReader

        directory, every = self.directory, self.times.phone_book_every
        return Learner(
            phone_book=PhoneBookReader(directory, self.phone_books, self.clock, every) if directory else None,
            addresses=self.addresses,
            looks=self.looks,
            replayer=Replayer(self.records, self.queue, self.clock, self.times.learning_budget),
            look_again_after=self.times.look_again_after,
        )

    @property
    def previewer(self) -> Previewer:
        from cdr.operations.preview import Previewer
        from cdr.wiring import plans

        rules, owner = plans.call_rules(self.settings), self.settings.calls.owner
        return Previewer(self.source, rules, self.addresses.known, owner)

    @property
    def reconciler(self) -> Reconciler:
        return self._reconciler(self.times.http_budget)

    @property
    def timed_reconciler(self) -> Reconciler:
        """For the timer, which may take its time."""
        return self._reconciler(self.times.reconciling_budget)

    def _reconciler(self, budget: timedelta) -> Reconciler:
        from cdr.operations.reconcile import Reconciler
        from cdr.wiring import plans

        return Reconciler(
            source=self.source,
            positions=self.positions,
            records=self.records,
            queue=self.queue,
            clock=self.clock,
            rules=plans.call_rules(self.settings),
            stalled_after=self.times.stalled_after,
            keep=timedelta(days=self.settings.ledger.keep_days),
            time_budget=budget,
            packing=self.times.packing,
        )

    @property
    def cleaner(self) -> Cleaner:
        from cdr.operations.retention import Cleaner

        keep = self.settings.ledger
        return Cleaner(
            self.records,
            self.clock,
            keep=timedelta(days=keep.keep_days),
            keep_rejected=timedelta(days=keep.keep_rejected_days),
            time_budget=self.times.cleaning_budget,
        )

    def _checks(self) -> Mapping[str, Check]:
        always: dict[str, Check] = {"configuration": self._check_configuration, "storage": self._check_storage}
        if not self.is_configured:
            return always
        watched = {"database": self._check_source, "source": self._check_watch}
        return {**always, **watched, "api": self._check_api}

    def _check_configuration(self) -> None:
        if self.mistakes:
            raise InvalidConfig(self.mistakes)

    def _check_storage(self) -> None:
        self.seen_queue.depth()
        self.seen_positions.read()

    def _check_api(self) -> None:
        self.api.check_health()

    def _check_source(self) -> None:
        stored = None
        with suppress(StorageUnavailable):  # which is looked at for itself
            stored = self.seen_positions.read().stored
        with self.source.connect() as reader:
            reader.check(stored.text if stored is not None and stored.source == self.source.name else None)

    def _check_watch(self) -> None:
        from cdr.operations.source_watch import check_source

        check_source(self.seen_positions)
