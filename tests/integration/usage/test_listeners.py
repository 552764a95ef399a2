"""Who listens to what is recorded hears of it once it is durable: before its caller, and if need be instead of it."""

from __future__ import annotations

import asyncio
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest
from structlog.testing import capture_logs

from tapi_agent.domain.errors import UnavailableError
from tapi_agent.testing.billing import FakeBilling

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

GOOD = {"event_type": "api_call", "quantity": 1}


@pytest.fixture
async def rig(build) -> AsyncIterator[Any]:
    async with build(FakeBilling()) as made:
        yield made


async def test_listeners_hear_of_every_event_before_its_caller_does(rig) -> None:
    heard: list[str] = []
    rig.metering.on_recorded(lambda events: heard.extend(f"one {event.quantity}" for event in events))
    rig.metering.on_recorded(lambda events: heard.append(f"other {len(events)}"))

    async def record(quantity: int) -> None:
        await rig.metering.record(GOOD | {"quantity": quantity})
        heard.append(f"caller {quantity}")

    await record(1)
    assert heard == ["one 1", "other 1", "caller 1"]
    heard.clear()
    await rig.metering.record_many([GOOD, {}, GOOD | {"quantity": 2}])
    assert heard == ["one 1", "one 2", "other 2"]
    heard.clear()
    await asyncio.gather(*map(record, range(20)))
    for quantity in range(20):
        assert heard.index(f"one {quantity}") < heard.index(f"caller {quantity}")


async def test_they_hear_of_an_event_whose_caller_has_gone_away(rig) -> None:
    heard = asyncio.Event()
    rig.metering.on_recorded(lambda _: heard.set())
    hung = threading.Event()
    rig.spool._writer.submit(hung.wait, 60)
    caller = asyncio.create_task(rig.metering.record(GOOD))
    await asyncio.sleep(0)
    caller.cancel()
    with suppress(asyncio.CancelledError):
        await caller
    assert not heard.is_set()
    hung.set()
    async with asyncio.timeout(20):
        await heard.wait()
    assert rig.spool.depth == 1


async def test_they_hear_nothing_of_what_is_not_kept(rig) -> None:
    heard: list[object] = []
    rig.metering.on_recorded(heard.append)
    await rig.metering.record_many([{}])
    await rig.spool.raise_floor(rig.spool.dedupe_floor)
    pages = rig.spool._place.file._writer.execute("PRAGMA page_count").fetchone()[0]
    rig.spool._place.file._writer.execute(f"PRAGMA max_page_count = {pages}").fetchall()
    with pytest.raises(UnavailableError):
        await rig.metering.record_many([GOOD | {"metadata": {"x": "y" * 30_000}}] * 10)
    assert heard == []


async def test_one_that_fails_keeps_nobody_else_in_the_dark(rig) -> None:
    heard: list[object] = []
    rig.metering.on_recorded(lambda _: heard[7])
    rig.metering.on_recorded(heard.extend)
    with capture_logs() as logs:
        for _ in range(3):
            await rig.metering.record(GOOD)
    assert ([line["event"] for line in logs], len(heard)) == (["spool.listener_failed"] * 3, 3)


async def test_a_preview_records_nothing(rig) -> None:
    assert rig.metering.preview(GOOD).unit == "calls"
    assert rig.spool.depth == 0
