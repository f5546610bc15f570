"""The month's cost follows from what it is computed of."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.bench.month import VOLUMES, Counted, Deployment, Prices, main, month
from tests.functions.loaded_app import ROOT


def test_a_month_is_its_operations_at_their_prices() -> None:
    deployment = Deployment(poll_every_s=8640, learn_every_s=8640, check_every_s=86400, memory_gb=2)
    found = month(1_000_000, deployment, Counted(line_bytes=500, request_bytes=500), listen_every_s=86400)
    assert found.executions == pytest.approx((10 + 10 + 2 + 1_000_000) * 30)
    assert found.queue_requests == pytest.approx((3 * 1_000_000 + 2 * 10 + 2) * 30)
    assert found.table_requests == pytest.approx((4.015 * 1_000_000 + 3 * 10 + 10 + 2 * 12) * 30)
    assert found.gb_seconds == pytest.approx((22 + 1_000_000 / 16 * 0.2) * 2 * 30)
    assert found.ready_gb_seconds == pytest.approx(86_400 * 2 * 30)
    assert found.logs_gb == pytest.approx((2 * 1_000_000 + 34) * 500 * 30 / 1e9)
    assert found.cost(Prices(logs_gb=2))["logs_gb"] == pytest.approx(2 * found.logs_gb)


@pytest.mark.parametrize("calls", VOLUMES)
def test_the_hosts_own_lines_cost_more_than_ours(calls: int) -> None:
    """Which is why host.json leaves them out."""
    without = month(calls, Deployment(), Counted(), 5).logs_gb
    with_them = month(calls, Deployment(), replace(Counted(), host_lines=3), 5).logs_gb
    assert with_them > 2 * without


def test_the_document_has_the_table_as_it_is_computed_now(capsys: pytest.CaptureFixture[str]) -> None:
    """If not: python -m tests.bench.month prints it anew."""
    main([])
    assert capsys.readouterr().out in (ROOT / "docs" / "performance.md").read_text("utf-8")


def test_every_input_can_be_set_by_its_name(capsys: pytest.CaptureFixture[str]) -> None:
    main([])
    usual = capsys.readouterr().out
    main(["--set", "logs_gb=0", "memory_gb=0.5"])
    assert "| of that for logs | 0% | 0% | 0% |" in capsys.readouterr().out != usual
    with pytest.raises(SystemExit):
        main(["--set", "warmth=1"])
