"""When the device's row is written, and what is in it."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from datetime import timedelta

import pytest

from tapi_agent.domain.errors import RejectedError
from tapi_agent.services.connectivity import POSTGRES
from tapi_agent.services.records import DeviceRecorder
from tapi_agent.testing.records import MemoryDevice

MINUTE = timedelta(minutes=1)


@pytest.fixture
def device() -> MemoryDevice:
    return MemoryDevice()


@pytest.fixture
def recorder(device, connectivity, clock) -> DeviceRecorder:
    return DeviceRecorder(
        records=device,
        connectivity=connectivity,
        clock=clock,
        hardware=lambda: {"cpus": 4},
        network=lambda: {"hostname": "box"},
    )


@pytest.fixture
async def running(recorder):
    task = asyncio.create_task(recorder.run())
    yield
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


async def until(condition) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.01)


@pytest.mark.usefixtures("running")
async def test_the_row_is_there_without_any_heartbeat(device) -> None:
    await until(lambda: device.kept)
    assert (device.kept.hardware, device.kept.network) == ({"cpus": 4}, {"hostname": "box"})
    assert (device.kept.heartbeat_at, device.kept.heartbeat_interval) == (None, None)


@pytest.mark.usefixtures("running")
async def test_a_heartbeat_that_was_answered_is_written(recorder, device, clock) -> None:
    await until(lambda: device.kept)
    recorder.heartbeat_answered(15 * MINUTE)
    await until(lambda: device.kept.heartbeat_at)
    assert (device.kept.heartbeat_at, device.kept.heartbeat_interval) == (clock.now(), 15 * MINUTE)


@pytest.mark.usefixtures("running")
async def test_an_outage_ends_with_the_row_written(recorder, device, connectivity) -> None:
    device.is_down = True
    connectivity.on_recovery(POSTGRES, recorder.wake)
    recorder.wake()
    await until(lambda: connectivity.report()[POSTGRES].up is False)
    recorder.heartbeat_answered(MINUTE)
    device.is_down = False
    device.kept = None
    connectivity.succeeded(POSTGRES)
    await until(lambda: device.kept and device.kept.heartbeat_interval == MINUTE)


class Refusing(MemoryDevice):
    """Refuses the row once."""

    refused = False

    async def save(self, record) -> None:
        if not self.refused:
            self.refused = True
            raise RejectedError("not this one", code="odd")
        await super().save(record)


async def test_a_refusal_ends_nothing(recorder) -> None:
    device = recorder._records = Refusing()
    await recorder.record()
    assert device.kept is None
    await recorder.record()
    assert device.kept is not None
