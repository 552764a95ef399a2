from __future__ import annotations

from datetime import timedelta

import pytest
import structlog

from tapi_agent.domain.errors import UnavailableError
from tapi_agent.services.connectivity import Connectivity
from tapi_agent.testing.billing import FakeBilling
from tapi_agent.testing.clock import START

HOUR = timedelta(hours=1)
REFUSED = UnavailableError("connection refused", fix="start it")


@pytest.fixture
def billing() -> FakeBilling:
    return FakeBilling()


@pytest.fixture
def connectivity(stage, billing) -> Connectivity:
    return Connectivity(clock=stage.clock, billing=billing)


@pytest.fixture
def woken(connectivity) -> list[str]:
    calls: list[str] = []
    for name in ("billing", "redis"):
        connectivity.on_recovery(name, lambda name=name: calls.append(name))
    return calls


def test_nothing_is_known_before_the_first_try(connectivity) -> None:
    reports = connectivity.report()
    assert list(reports) == ["billing", "postgres", "redis"]
    assert {report.up for report in reports.values()} == {None}


def test_what_is_lost_says_since_when_why_and_what_to_do(stage, connectivity) -> None:
    connectivity.failed("redis", REFUSED)
    stage.machine.advance(HOUR)
    connectivity.failed("redis", ValueError("odd"))
    report = connectivity.report()["redis"]
    assert (report.up, report.since, report.detail, report.fix) == (False, START, "odd", "")
    connectivity.failed("redis", REFUSED)
    assert connectivity.report()["redis"].fix == "start it"
    connectivity.succeeded("redis")
    report = connectivity.report()["redis"]
    assert (report.up, report.since, report.detail) == (True, START + HOUR, "")


def test_edges_are_logged_nothing_between(connectivity) -> None:
    with structlog.testing.capture_logs() as logs:
        connectivity.succeeded("redis")
        for _ in range(3):
            connectivity.failed("redis", REFUSED)
        for _ in range(3):
            connectivity.succeeded("redis")
    assert [entry["event"] for entry in logs] == ["dependency.lost", "dependency.recovered"]


def test_those_who_wait_are_told_once_per_recovery(connectivity, woken) -> None:
    connectivity.succeeded("redis")
    assert woken == []
    connectivity.failed("redis", REFUSED)
    for _ in range(3):
        connectivity.succeeded("redis")
    assert woken == ["redis"]


async def test_a_service_that_is_up_is_not_probed(connectivity, billing, woken) -> None:
    billing.offline()
    for _ in range(2):
        await connectivity.probe_billing()
        connectivity.succeeded("billing")
    assert connectivity.report()["billing"].up is True


async def test_a_lost_service_is_probed_and_its_return_wakes(connectivity, billing, woken) -> None:
    connectivity.failed("billing", REFUSED)
    billing.offline()
    await connectivity.probe_billing()
    assert woken == []
    billing.online()
    await connectivity.probe_billing()
    assert woken == ["billing"]
    assert connectivity.report()["billing"].up is False, "healthy is not yet an answer to a real call"


async def test_healthy_but_refusing_is_not_woken_for_at_every_probe(connectivity, woken) -> None:
    for _ in range(3):
        connectivity.failed("billing", UnavailableError("401"))
        await connectivity.probe_billing()
    assert woken == ["billing"]


async def test_every_outage_has_its_own_wake(connectivity, woken) -> None:
    for _ in range(2):
        connectivity.failed("billing", REFUSED)
        await connectivity.probe_billing()
        connectivity.succeeded("billing")
    assert woken == ["billing"] * 4


def test_a_tier_may_have_any_name(connectivity) -> None:
    connectivity.failed("file", REFUSED)
    assert connectivity.report()["file"].up is False
