"""Evidence on its way into tiers that take many at once, and the reply that goes with it as far as the database."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta

from tapi_agent.domain.errors import RejectedError
from tapi_agent.domain.ids import CameraId
from tapi_agent.testing.billing import GOOD
from tapi_agent.testing.clock import START
from tapi_agent.testing.licenses import MemoryEvidence

SECOND, MINUTE = timedelta(seconds=1), timedelta(minutes=1)
RAW = '{"is_valid": true}'


class BulkTier(MemoryEvidence):
    """Takes many at once; ``picky`` refuses any with this camera in it. Remembers what it was given."""

    picky = ""

    def __init__(self) -> None:
        super().__init__("postgres")
        self.calls = []
        self.gate = asyncio.Event()
        self.gate.set()

    async def save_many(self, words) -> None:
        self.calls.append({word.evidence.subject.camera_id: word.raw for word in words})
        await self.gate.wait()
        if self.picky in self.calls[-1]:
            raise RejectedError("not that one", code="picky")
        for word in words:
            await self.save(word.evidence, word.sealed)


async def booted(stage, *cameras: str) -> BulkTier:
    """A device with such a tier in place of PostgreSQL, all cameras heard of and nothing written yet."""
    tier = stage.postgres = BulkTier()
    for camera in cameras:
        stage.billing.answer(CameraId(camera), replace(GOOD, raw=RAW))
    await stage.boot(*cameras)
    await stage.licensing.refresh()
    return tier


async def test_a_hundred_and_twenty_eight_cameras_are_saved_in_one_go(stage) -> None:
    names = [f"camera {number}" for number in range(128)]
    tier = await booted(stage, *names)
    await stage.licensing.stop()
    assert [set(call) for call in tier.calls] == [set(names)]
    assert len(tier.kept) == 128


async def test_more_are_saved_in_several(stage) -> None:
    tier = await booted(stage, *(f"camera {number}" for number in range(1001)))
    await stage.licensing.stop()
    assert sorted(map(len, tier.calls)) == [1, 500, 500]
    assert len(tier.kept) == 1001


async def test_what_a_tier_refuses_keeps_it_from_no_other(stage) -> None:
    tier = await booted(stage, "gate", "yard", "hall")
    tier.picky = "gate"
    await stage.licensing.stop()
    assert {subject.camera_id for subject in tier.kept} == {"yard", "hall"}
    assert not stage.licensing._store._shelves[2].lacking


async def test_down_in_the_middle_loses_none(stage) -> None:
    tier = await booted(stage, "gate", "yard")
    tier.is_down = True
    await stage.licensing._keep()
    assert stage.connectivity.report()["postgres"].up is False
    tier.is_down = False
    stage.machine.advance(5 * SECOND)
    await stage.licensing._keep()
    assert len(tier.kept) == 2


async def test_cancelled_in_the_middle_loses_none(stage, until) -> None:
    tier = await booted(stage, "gate", "yard")
    tier.gate.clear()
    async with stage.running():
        await until(lambda: tier.calls)
    tier.gate.set()
    await stage.licensing.stop()
    assert len(tier.kept) == 2


async def test_the_reply_goes_with_the_evidence_and_is_not_held(stage) -> None:
    tier = await booted(stage, "gate")
    assert stage.licensing._store._replies == {"gate": RAW}
    await stage.licensing.stop()
    assert tier.calls == [{"gate": RAW}]
    assert stage.licensing._store._replies == {}
    assert RAW not in "".join(sealed for _, sealed in stage.file.kept.values())


async def test_the_reply_waits_for_the_database_with_the_evidence(stage) -> None:
    tier = await booted(stage, "gate")
    tier.is_down = True
    await stage.licensing._keep()
    tier.is_down = False
    stage.machine.advance(5 * SECOND)
    await stage.licensing._keep()
    assert tier.calls == [{"gate": RAW}] * 2


async def test_a_reply_is_never_taken_for_that_of_a_later_word(stage) -> None:
    tier = await booted(stage, "gate")
    stage.billing.answer("gate", replace(GOOD, sequence=2, raw=""))
    await stage.licensing.refresh()
    await stage.licensing.stop()
    assert tier.calls == [{"gate": ""}]


async def test_a_word_stamped_anew_keeps_its_reply(stage) -> None:
    stage.machine.set_wall(START + MINUTE, synchronized=True)
    tier = await booted(stage, "gate", "yard")
    stage.machine.set_wall(START, synchronized=False)
    stage.billing.answer("yard", replace(GOOD, sequence=2, server_time=START, raw="2"))
    await stage.licensing.validate("yard", wait=MINUTE)
    await stage.licensing.reevaluate()
    await stage.licensing._keep()
    assert stage.licensing.view("gate").evidence.verified_at == START
    assert tier.calls == [{"gate": RAW, "yard": "2"}]


async def test_no_more_than_a_thousand_replies_wait(stage) -> None:
    tier = await booted(stage, *(f"camera {number}" for number in range(1002)))
    assert len(stage.licensing._store._replies) == 1000
    await stage.licensing.stop()
    assert sum(raw == "" for call in tier.calls for raw in call.values()) == 2
