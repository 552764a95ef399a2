"""Counting losses: at once in memory, soon after in the ledger, and never nowhere."""

from __future__ import annotations

import shutil
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest

from tapi_agent import telemetry
from tapi_agent.adapters.files import FileLosses
from tapi_agent.domain.errors import UnavailableError
from tapi_agent.domain.ids import TenantId
from tapi_agent.domain.loss import LossKind
from tapi_agent.domain.usage import UsageTotal
from tapi_agent.services.losses import Losses

if TYPE_CHECKING:
    from pathlib import Path

NOW = datetime(2027, 3, 1, 12, tzinfo=UTC)


class Clock:
    def now(self) -> datetime:
        return NOW


def total(events: int, *, day: int = 1) -> UsageTotal:
    return UsageTotal(
        tenant_id=TenantId("acme"),
        meter="api_call",
        unit="calls",
        day=date(2027, 3, day),
        events=events,
        quantity=Decimal(events),
        local_events=1,
        local_quantity=Decimal("0.5"),
    )


def bar(place: Path) -> None:
    """No file can be written there from now on."""
    place.unlink(missing_ok=True)
    place.mkdir(parents=True)
    (place / "in the way").touch()


def unbar(place: Path) -> None:
    shutil.rmtree(place)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "spool" / "losses"


@pytest.fixture
def losses(place: Path) -> Losses:
    return Losses(ledger=FileLosses(place), clock=Clock())  # type: ignore[arg-type]  # tells the time, as far as asked


async def test_what_was_acknowledged_and_is_lost_is_in_the_ledger_at_once(losses: Losses, place: Path) -> None:
    losses.lost(LossKind.DAMAGED, [total(2), total(3, day=2)])
    (loss,) = FileLosses(place).report()
    assert (loss.kind, loss.meter, loss.events, loss.quantity) == (LossKind.DAMAGED, "api_call", 7, Decimal(6))
    assert (loss.first_at, loss.last_at) == (NOW, NOW)


async def test_what_the_ledger_does_not_take_is_kept_until_it_does(losses: Losses, place: Path) -> None:
    await losses.start()
    bar(place)
    losses.lost(LossKind.ROLLED_BACK, [total(2)])
    await losses.write_down()
    with pytest.raises(UnavailableError):
        await losses.report()
    assert [loss.events for loss in losses.unwritten] == [3]
    unbar(place)
    assert [loss.events for loss in await losses.report()] == [3]
    assert losses.unwritten == []
    assert [loss.events for loss in FileLosses(place).report()] == [3]


async def test_a_start_without_a_ledger_goes_on(losses: Losses, place: Path) -> None:
    bar(place)
    await losses.start()
    assert losses.unwritten == []


def test_metrics_count_every_loss(losses: Losses) -> None:
    counter = telemetry.USAGE_LOST.labels(kind=LossKind.DAMAGED, meter="api_call")
    before = counter._value.get()
    losses.lost(LossKind.DAMAGED, [total(4)])
    assert counter._value.get() - before == 5
