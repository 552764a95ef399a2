"""A real agent whose wall clock is stepped while it runs: its jobs go on, its time and its license stay."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

import httpx
import pytest
from e2e_tools import all_up, settings_for

from tapi_agent.adapters.clock import SystemClock
from tapi_agent.testing.wait import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from e2e_tools import Wall

    from tapi_agent.sandbox.process import SandboxProcess
    from tapi_agent.testing.agent import AgentProcess

pytestmark = pytest.mark.slow

HOUR: Final = timedelta(hours=1)
RUNS: Final = re.compile(r'^tapi_job_runs_total\{job="([^"]+)",outcome="ok"\} ([0-9.e+]+)$', re.MULTILINE)
WATCHED: Final = {"license-evaluate", "clock-mark", "camera-sync", "usage-sync"}
"""Jobs whose intervals are longer than a step takes to be noticed."""
MORE_THAN_ENOUGH: Final = 200
"""Runs of a job in the seconds after a step; walking every missed one would be millions."""


@pytest.fixture
def agent(service: SandboxProcess, launch: Callable[..., AgentProcess], wall: Wall) -> Iterator[AgentProcess]:
    agent = launch(settings_for(service, **wall.settings))
    agent.start()
    agent.wait_for(all_up, within=60, what="everything up")
    agent.wait_for(is_licensed, within=60, what="licensed")
    return agent


def is_licensed(status: dict[str, Any]) -> bool:
    return status["state"] == "valid"


def runs(agent: AgentProcess) -> dict[str, float]:
    """How often each job has run."""
    with httpx.Client(transport=httpx.HTTPTransport(uds=str(agent.socket)), base_url="http://agent") as client:
        return {job: float(count) for job, count in RUNS.findall(client.get("/metrics").text)}


def wall_of(status: dict[str, Any]) -> datetime:
    return datetime.fromisoformat(status["clock"]["wall"])


def until(year: int) -> timedelta:
    return datetime(year, 1, 1, tzinfo=UTC) - SystemClock().wall()


def test_jobs_and_licenses_outlive_every_step_of_the_wall_clock(agent: AgentProcess, wall: Wall) -> None:
    now = SystemClock().wall
    for ahead in (until(1970), until(2099), timedelta(0), -HOUR, HOUR, timedelta(0)):
        before = runs(agent)
        trusted = datetime.fromisoformat(agent.status()["clock"]["trusted_now"])
        wall.set(ahead)
        status = agent.wait_for(
            lambda seen, ahead=ahead: abs(wall_of(seen) - now() - ahead) < HOUR / 2, within=20, what="the step"
        )
        wait_until(
            lambda before=before: all(runs(agent)[job] > before[job] for job in WATCHED),
            within=25,
            what=f"every job after a step to {ahead}",
        )
        assert max(count - before.get(job, 0) for job, count in runs(agent).items()) < MORE_THAN_ENOUGH
        status = agent.status()
        assert is_licensed(status)
        moved = datetime.fromisoformat(status["clock"]["trusted_now"]) - trusted
        assert timedelta(0) <= moved < HOUR / 2
        assert status["clock"]["flags"] == flag_of(ahead)
    assert agent.stop() == 0


def flag_of(ahead: timedelta) -> list[str]:
    if not ahead:
        return []
    return ["clock.unconfirmed" if ahead > timedelta(0) else "clock.rollback"]


@pytest.mark.parametrize("year", [1970, 2099])
def test_it_boots_in_any_year(
    service: SandboxProcess, launch: Callable[..., AgentProcess], wall: Wall, year: int
) -> None:
    wall.set(until(year))
    agent = launch(settings_for(service, **wall.settings))
    agent.start()
    assert wall_of(agent.status()).year == year
    status = agent.wait_for(is_licensed, within=60, what="licensed")
    wall.set(timedelta(0))
    assert status["clock"]["confirmed"]
    assert abs(datetime.fromisoformat(agent.status()["clock"]["trusted_now"]) - SystemClock().wall()) < HOUR
    assert {mark["name"] for mark in status["clock"]["marks"]} == {"file", "postgres"}
    agent.wait_for(lambda seen: all(mark["held"] for mark in seen["clock"]["marks"]), within=60, what="both marks")
    assert agent.stop() == 0
