"""Which calls were rejected, page by page."""

from __future__ import annotations

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from cdr.calls.call import UNDATED, CallKey, Reason, Settlement, State
from cdr.operations.ports import RejectedCall, RejectedRecord
from cdr.operations.rejected import RejectedPage, list_rejected
from tests.fakes.clock import HandMovedClock
from tests.fakes.ledger import InMemoryLedger
from tests.support.factories import make_message
from tests.support.workshop import NOON, Workshop

REJECTED = Settlement(State.REJECTED, Reason.GAVE_UP)


def names_of(*pages: RejectedPage) -> list[str]:
    return [entry.call.key.name for page in pages for entry in page.calls]


@given(st.lists(st.integers(0, 3), max_size=12), st.integers(1, 5))
def test_pages_are_complete_repeat_nothing_and_have_the_newest_first(seconds: list[int], limit: int) -> None:
    ledger, clock = InMemoryLedger(), HandMovedClock(NOON)
    for n, pause in enumerate(seconds):
        clock.sleep(pause)
        key = CallKey(UNDATED if n % 3 else "2026-11-22", f"call {n}")
        ledger.record(key, make_message(id=n), REJECTED, clock.now())
    pages = [list_rejected(ledger, after=None, limit=limit)]
    while pages[-1].next is not None:
        pages.append(list_rejected(ledger, after=pages[-1].next, limit=limit))
    assert sorted(names_of(*pages)) == sorted(f"call {n}" for n in range(len(seconds)))
    moments = [entry.call.settled_at for page in pages for entry in page.calls]
    assert moments == sorted(moments, reverse=True)
    assert len(pages) == max(1, -(-len(seconds) // limit))
    assert all(entry.letter == make_message(id=int(entry.call.key.name[5:])) for page in pages for entry in page.calls)


def test_what_is_rejected_between_two_pages_pushes_nothing_off_the_next_one(shop: Workshop) -> None:
    for row_id in range(4):
        shop.submit_row(id=row_id, call_id="call", duration_s=-1)
        shop.clock.sleep(1)
    first = list_rejected(shop.ledger, after=None, limit=2)
    shop.submit_row(id=9, duration_s=-1)
    second = list_rejected(shop.ledger, after=first.next, limit=2)
    assert names_of(first, second) == ["call-3", "call-2", "call-1", "call-0"]


def test_what_was_settled_otherwise_since_it_was_noted_is_left_out_and_a_page_looks_at_so_many_notes_only() -> None:
    class BusyLedger(InMemoryLedger):
        def still_rejected(self, call: RejectedCall) -> RejectedRecord | None:
            return super().still_rejected(call) if call.key.name > "call 7" else None

    busy = BusyLedger()
    for n in range(9, 0, -1):
        busy.record(CallKey(UNDATED, f"call {n}"), make_message(), REJECTED, NOON - n * timedelta(seconds=1))
    first = list_rejected(busy, after=None, limit=2)
    assert (names_of(first), first.calls) == ([], [])
    second = list_rejected(busy, after=first.next, limit=2)
    assert (names_of(second), second.next) == (["call 8", "call 9"], None)


def test_those_for_a_reason_can_be_listed_alone(shop: Workshop) -> None:
    shop.submit_row(id=1, call_id="call", duration_s=-1)
    shop.submit_row(id=2, call_id="call", extension="999")
    assert names_of(list_rejected(shop.ledger, after=None, limit=5, reason="unmapped_extension")) == ["call-2"]
