"""The loops: nothing here calls a verb; what is due happens by itself, within a tick."""

from __future__ import annotations

import asyncio
import gc
import tracemalloc
from datetime import timedelta

import pytest

from tapi_agent.domain.license import LicenseState

VALID, OFFLINE, GRACE, EXPIRED = LicenseState
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)


async def test_a_license_lives_by_itself(stage, until) -> None:
    await stage.boot("gate")
    async with stage.running():
        await until(lambda: stage.state("gate") is VALID)
        stage.billing.offline()
        for passing, state in ((HOUR, OFFLINE), (23 * HOUR, GRACE), (7 * DAY, EXPIRED)):
            stage.machine.advance(passing)
            await until(lambda state=state: stage.state("gate") is state)
        stage.billing.online()
        stage.machine.advance(15 * MINUTE)
        await until(lambda: stage.state("gate") is VALID)
        await until(lambda: len(stage.log.published) == 5)
    assert len(stage.edges("gate")) == 5


async def test_a_camera_registered_later_is_asked_for_at_once(stage, until) -> None:
    await stage.boot()
    async with stage.running():
        stage.licensing.register("gate")
        await until(lambda: stage.state("gate") is VALID)
        await until(lambda: stage.file.kept and stage.roster.cameras)


async def test_when_the_link_comes_back_nobody_sits_out_the_backoff(stage, until) -> None:
    stage.billing.offline()
    await stage.boot("gate")
    for _ in range(15):
        await stage.licensing.refresh()
    async with stage.running():
        stage.billing.online()
        await stage.connectivity.probe_billing()
        await until(lambda: stage.state("gate") is VALID)


async def test_waking_from_sleep_is_noticed(stage, until) -> None:
    await stage.settled("gate")
    stage.billing.asked.clear()
    async with stage.running():
        stage.machine.suspend(MINUTE)
        await until(lambda: stage.asked() == ["gate"])


async def test_a_wall_clock_set_back_by_a_year_delays_nothing(stage, until) -> None:
    await stage.settled("gate")
    stage.billing.offline()
    async with stage.running():
        stage.machine.set_wall(stage.machine.wall() - 365 * DAY)
        stage.machine.advance(HOUR)
        await until(lambda: stage.state("gate") is OFFLINE)


async def test_edges_that_could_not_be_written_are_written_when_the_database_is_back(stage, until) -> None:
    stage.log.is_down = True
    await stage.boot("gate")
    async with stage.running():
        await until(lambda: stage.connectivity.report()["postgres"].up is False)
        stage.log.is_down = False
        stage.connectivity.succeeded("postgres")
        await until(lambda: stage.log.published)


async def test_a_hung_service_delays_no_transition(stage, until) -> None:
    await stage.settled("gate")
    stage.billing.slow()
    async with stage.running():
        stage.machine.advance(HOUR)
        await until(lambda: stage.billing.asked[1:])
        stage.machine.advance(DAY)
        stage.licensing.resumed()
        stage.machine.advance(MINUTE)
        await until(lambda: stage.state("gate") in {OFFLINE, GRACE})
        assert len(stage.billing.asked) == 2


async def test_stop_gives_up_what_is_under_way(stage, until) -> None:
    stage.billing.slow()
    await stage.boot("gate")
    asking = asyncio.create_task(stage.licensing.validate("gate", wait=MINUTE))
    await until(lambda: stage.billing.asked)
    await stage.licensing.stop()
    assert (await asking).standing.state is EXPIRED
    assert not stage.licensing._refresher._flights


@pytest.mark.slow
async def test_a_thousand_cameras_are_refreshed_in_one_round(stage) -> None:
    await stage.boot(*(f"camera {number}" for number in range(1000)))
    done = await stage.licensing.refresh()
    assert (done.answered, done.cameras) == (1000, 1000)
    assert await stage.licensing.reevaluate() == []


@pytest.mark.slow
async def test_a_camera_costs_two_kilobytes(stage) -> None:
    tracemalloc.start()
    try:
        await stage.settled(*(f"camera {number}" for number in range(1000)))
        kept = (stage.billing.asked, stage.billing.questions, stage.heard.changes, stage.log.edges, stage.log.published)
        for memory in (*kept, stage.file.kept, stage.redis.kept, stage.postgres.kept):
            memory.clear()
        gc.collect()
        size, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert size / 1000 <= 2048
