from __future__ import annotations

from datetime import timedelta

import pytest

from tapi_agent.domain.errors import IntegrityError, RejectedError, UnavailableError
from tapi_agent.domain.ids import CameraId, TenantId
from tapi_agent.services.connectivity import Connectivity
from tapi_agent.services.heartbeat import Heartbeat
from tapi_agent.testing.billing import Beat, FakeBilling

SECOND, MINUTE, HOUR = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1)


class OddBilling(FakeBilling):
    """Meets heartbeats with ``error``."""

    error: Exception | None = None

    async def heartbeat(self, **beat):
        if self.error:
            raise self.error
        return await super().heartbeat(**beat)


@pytest.fixture
def billing() -> OddBilling:
    return OddBilling()


@pytest.fixture
def connectivity(stage, billing) -> Connectivity:
    return Connectivity(clock=stage.clock, billing=billing)


@pytest.fixture
def heartbeat(billing, connectivity) -> Heartbeat:
    return Heartbeat(
        billing=billing,
        connectivity=connectivity,
        tenant_id=TenantId("acme"),
        tier="managed",
        cameras=lambda: [CameraId("gate"), CameraId("yard")],
        interval=15 * MINUTE,
        entropy=lambda size: b"\xff" * size,
    )


async def test_it_names_the_tenant_the_cameras_and_the_tier(heartbeat, billing, connectivity) -> None:
    await heartbeat.beat()
    assert billing.beats == [Beat(tenant_id=TenantId("acme"), cameras=("gate", "yard"), tier="managed")]
    assert connectivity.report()["billing"].up is True


@pytest.mark.parametrize(
    ("wish", "expected"),
    [
        (None, 15 * MINUTE),
        (2 * HOUR, 2 * HOUR),
        (timedelta(0), 15 * MINUTE),
        (SECOND, MINUTE),
        (-HOUR, MINUTE),
        (25 * HOUR, 24 * HOUR),
    ],
)
async def test_the_services_wish_is_bounded(heartbeat, billing, wish, expected) -> None:
    billing.next_heartbeat = wish
    assert await heartbeat.beat() == expected


@pytest.mark.parametrize("error", [RejectedError("404", code="not_found"), IntegrityError("no JSON object")], ids=str)
async def test_a_service_without_heartbeats_is_there_all_the_same(heartbeat, billing, connectivity, error) -> None:
    billing.error = error
    assert await heartbeat.beat() == 15 * MINUTE
    assert connectivity.report()["billing"].up is True


async def test_silence_is_noted_and_met_with_backoff(heartbeat, billing, connectivity) -> None:
    billing.error = UnavailableError("refused", fix="plug it in")
    waits = [(await heartbeat.beat()).total_seconds() for _ in range(6)]
    assert waits == pytest.approx([60, 120, 240, 480, 900, 900], abs=1e-5)
    assert connectivity.report()["billing"].fix == "plug it in"
    billing.error = None
    await heartbeat.beat()
    billing.error = UnavailableError("refused")
    assert (await heartbeat.beat()).total_seconds() == pytest.approx(60)


async def test_the_services_wish_after_silence_is_a_minimum(heartbeat, billing) -> None:
    billing.error = UnavailableError("429", retry_after=10 * MINUTE)
    assert await heartbeat.beat() == 10 * MINUTE


async def test_listeners_hear_of_every_answer_and_of_no_silence(heartbeat, billing) -> None:
    heard = []
    heartbeat.on_answer(heard.append)
    await heartbeat.beat()
    billing.error = UnavailableError("refused")
    await heartbeat.beat()
    billing.error = RejectedError("404", code="not_found")
    await heartbeat.beat()
    assert heard == [15 * MINUTE, 15 * MINUTE]
