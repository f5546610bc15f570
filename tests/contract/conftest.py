"""The ledgers that two suites look at from two sides."""

from __future__ import annotations

import pytest

from cdr.submission.ports import CallLedger
from tests.contract.ledgers import AzuriteBench, Bench, FakeBench
from tests.systems.storage import Storage


@pytest.fixture(params=["fake", "azurite"])
def bench(request: pytest.FixtureRequest) -> Bench:
    return FakeBench() if request.param == "fake" else AzuriteBench(request.getfixturevalue("storage"))


@pytest.fixture
def ledger(bench: Bench) -> CallLedger:
    return bench.open()


@pytest.fixture
def azurite_bench(storage: Storage) -> AzuriteBench:
    return AzuriteBench(storage)
