"""What the service says of single features, heard over HTTP: fresh, renewed, kept through outages and restarts."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from tapi_agent.services.connectivity import BILLING

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.integration.overrides.conftest import Box

    from tapi_agent.services.overrides import Overrides

SMS, CAR, TROLLEY = "outputs.sms", "cv_models.car", "cv_models.trolley"
FRESH = timedelta(minutes=5)
LATEST = FRESH * 1.1
SECOND = timedelta(seconds=1)


def enabled(overrides: Overrides) -> dict[str, bool]:
    return {feature: word.enabled for feature, word in overrides.view().items()}


async def becomes(overrides: Overrides, condition: Callable[[], bool]) -> None:
    """Wait for a word to change so that the condition holds."""
    changed = asyncio.Event()
    overrides.on_change(changed.set)
    async with asyncio.timeout(30):
        while not condition():
            await changed.wait()
            changed.clear()


async def test_denials_and_grants_are_heard_and_what_no_product_has_is_no_word(box: Box) -> None:
    await box.says(CAR, enabled=False)
    await box.says("llm.premium_connectors", enabled=True)
    async with box.process(SMS, CAR, "llm.premium_connectors", "source.rtsp") as overrides:
        await overrides.ask()
        assert enabled(overrides) == {SMS: False, CAR: False, "llm.premium_connectors": True}
        await box.says(CAR, enabled=None)
        await box.says("source.rtsp", enabled=True)
        overrides.wake()
        await overrides.ask()
        assert enabled(overrides)[CAR] is True
        assert enabled(overrides)["source.rtsp"] is True
        await box.says("source.rtsp", enabled=None)
        overrides.wake()
        await overrides.ask()
        assert "source.rtsp" not in overrides.view()


async def test_the_pack_of_one_camera_is_no_denial_for_the_tenant(box: Box) -> None:
    await box.sells("cam-1", packs=["Retail"], valid_until="2100-06-01T12:00:00+02:00")
    async with box.process(TROLLEY) as overrides:
        await overrides.ask()
        word = overrides.view()[TROLLEY]
    assert word.enabled
    assert word.valid_until == datetime(2100, 6, 1, 10, tzinfo=UTC)
    assert word.grants(box.clock.at)
    assert not word.grants(word.valid_until)


async def test_a_word_is_not_asked_for_again_while_it_is_fresh(box: Box) -> None:
    async with box.process(SMS) as overrides:
        await overrides.ask()
        before = await box.questions()
        box.clock.at += FRESH - SECOND
        await overrides.ask()
        assert await box.questions() == before
        await box.says(SMS, enabled=True)
        assert enabled(overrides) == {SMS: False}
        box.clock.at += LATEST - FRESH + SECOND
        await overrides.ask()
        assert await box.questions() == before + 1
        assert enabled(overrides) == {SMS: True}


async def test_words_are_refreshed_in_the_background(box: Box) -> None:
    """The clock stands still here, so it is set back: then every word is stale."""
    async with box.process(SMS, fresh=timedelta(milliseconds=100)) as overrides:
        running = asyncio.create_task(overrides.run())
        await becomes(overrides, lambda: enabled(overrides) == {SMS: False})
        await box.says(SMS, enabled=True)
        box.clock.at -= timedelta(days=1)
        await becomes(overrides, lambda: enabled(overrides) == {SMS: True})
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def test_stale_words_are_kept_through_an_outage_and_a_restart_and_then_renewed(box: Box) -> None:
    await box.says(SMS, enabled=True)
    await box.says(CAR, enabled=False)
    async with box.process(SMS, CAR) as overrides:
        await overrides.ask()
        said = overrides.view()
    await box.stops()
    box.clock.at += timedelta(days=30)
    async with box.process(SMS, CAR) as overrides:
        await overrides.ask()
        assert overrides.view() == said
        assert box.connectivity.report()[BILLING].up is False
        await box.starts()
        await box.says(CAR, enabled=None)
        await overrides.ask()
        assert enabled(overrides) == {SMS: True, CAR: True}
        assert {word.asked_at for word in overrides.view().values()} == {box.clock.at}


async def test_the_end_of_an_outage_is_noticed_by_the_probe(box: Box) -> None:
    await box.stops()
    async with box.process(SMS, fresh=timedelta(days=1)) as overrides:
        await overrides.ask()
        running = asyncio.create_task(overrides.run())
        await box.starts()
        await box.connectivity.probe_billing()
        await becomes(overrides, lambda: enabled(overrides) == {SMS: False})
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def test_what_an_ended_license_says_of_everything_takes_nothing_away(box: Box) -> None:
    async with box.process(CAR) as overrides:
        await overrides.ask()
        await asyncio.to_thread(box.sandbox.admin.suspend, box.tenant)
        overrides.wake()
        await overrides.ask()
        assert enabled(overrides) == {CAR: True}


NO_ANSWERS = {
    "500": {"action": "status", "status": 500},
    "503": {"action": "status", "status": 503, "retry_after": 60},
    "429": {"action": "status", "status": 429},
    "401": {"action": "status", "status": 401},
    "403": {"action": "status", "status": 403},
    "400": {"action": "status", "status": 400},
    "reset": {"action": "refuse"},
    "reply-lost": {"action": "drop_reply"},
    "302-to-a-login-page": {"action": "captive_portal", "location": "http://portal.example/login"},
    "200-html": {"action": "captive_portal"},
    "truncated-json": {"action": "garbage"},
    "wrong-types": {"action": "wrong_types"},
    "hung": {"action": "delay", "ms": 60_000},
}


@pytest.mark.parametrize("fault", NO_ANSWERS)
async def test_an_evil_of_the_service_or_the_way_to_it_is_no_answer(box: Box, fault: str) -> None:
    await box.says(CAR, enabled=False)
    async with box.process(CAR, SMS, patience=timedelta(milliseconds=300) if fault == "hung" else FRESH) as overrides:
        while set(overrides.view()) != {CAR, SMS}:
            await overrides.ask()
        said, generation = overrides.view(), overrides.generation
        await box.says(CAR, enabled=True)
        await box.fails(NO_ANSWERS[fault])
        box.clock.at += LATEST
        await overrides.ask()
        assert (overrides.view(), overrides.generation) == (said, generation)
        await box.mends()
        overrides.wake()
        while not enabled(overrides)[CAR]:
            await overrides.ask()
