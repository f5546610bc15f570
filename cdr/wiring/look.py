"""What is looked at before anything is sent: as far as may be without storage and without the Call Logger."""

from __future__ import annotations

from cdr.operations.check_setup import Setup, Storage
from cdr.operations.preview import Previewer
from cdr.submission.directory import KeptPhoneBook
from cdr.submission.email_addresses import Known
from cdr.submission.phone_book import ask
from cdr.wiring import plans
from cdr.wiring.parts import Parts


def unstored_previewer(parts: Parts) -> Previewer:
    """Asks the phone system for its addresses itself, instead of taking those that are kept.

    :raises InvalidConfig: the configuration holds mistakes
    """
    return Previewer(parts.source, plans.call_rules(parts.settings), lambda: _asked(parts), parts.settings.calls.owner)


def _asked(parts: Parts) -> Known:
    directory = parts.directory
    if directory is None:
        return parts.addresses.with_book(None)
    return parts.addresses.with_book(ask(directory, KeptPhoneBook(directory.name), parts.clock.now()))


def setup_of(parts: Parts, *, storage_untried: str = "") -> Setup:
    """:param storage_untried: why storage is not tried, if so
    :raises InvalidConfig: the configuration holds mistakes
    """
    settings = parts.settings
    groups, watched = settings.call_groups, parts.watched_groups
    return Setup(
        source=parts.source,
        timezone=settings.three_cx.timezone,
        storage=None if storage_untried else Storage(parts.queue, parts.positions),
        api=parts.api,
        alerts=parts.alerts if watched else None,
        members=parts.members if watched else None,
        groups={group.id: group.name for group in groups.monitored_groups},
        directory=parts.directory,
        mapped=len(settings.extension_mapping),
        webhooks=[hook.type for hook in groups.notify],
        clock=parts.clock,
        storage_untried=storage_untried,
        always_closed=[group.id for group in watched if group.hours is not None and not any(group.hours.week.values())],
    )
