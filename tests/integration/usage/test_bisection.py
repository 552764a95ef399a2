"""A batch that is refused as a whole: the bad event is found, and a bad service kills nothing."""

from __future__ import annotations

import json
from datetime import timedelta
from math import log2
from typing import TYPE_CHECKING

from typing_extensions import override

from tapi_agent.domain.delivery import TransportFailure, UsageReply
from tapi_agent.domain.settlement import PauseReason
from tapi_agent.testing.billing import FakeBilling

if TYPE_CHECKING:
    from tapi_agent.domain.delivery import WireBatch


class Picky(FakeBilling):
    """Answers 400 to a whole batch that holds an event of camera "bad", or to everything."""

    def __init__(self, *, everything: bool = False) -> None:
        super().__init__()
        self.everything = everything
        self.picky = True

    @override
    async def send_usage(self, batch: WireBatch) -> UsageReply:
        if self.everything or (self.picky and b'"camera_id":"bad"' in batch.body):
            self.reply_to_usage(UsageReply(status=400, body=b"bad request"))
        return await super().send_usage(batch)


async def test_one_bad_event_of_a_thousand_is_found_and_dies_alone(build) -> None:
    billing = Picky()
    async with build(billing) as rig:
        before = await rig.record(617)
        (bad,) = await rig.record(1, camera_id="bad")
        after = await rig.record(382)
        await rig.delivery.flush()
        assert rig.dead() == {bad: "REFUSED"}
        assert rig.states() == {"synced": 999, "dead": 1}
        assert len(billing.sent) <= 2 * log2(1000) + 2
        assert rig.delivery.paused is None
        assert sorted(str(event["event_id"]) for event in billing.billed) == sorted(before + after)
        (letter,) = rig.query("SELECT * FROM usage_dead_letters")
        assert letter["detail"] == "HTTP 400: bad request"
        assert json.loads(bytes(letter["event"]))["event_id"] == bad


async def test_up_to_one_in_a_hundred_may_be_bad(build) -> None:
    billing = Picky()
    async with build(billing) as rig:
        bad = []
        for _ in range(10):
            await rig.record(99)
            bad += await rig.record(1, camera_id="bad")
        await rig.delivery.flush()
        assert rig.dead() == dict.fromkeys(bad, "REFUSED")
        assert rig.states() == {"synced": 990, "dead": 10}


async def test_a_service_that_refuses_everything_kills_nothing(build) -> None:
    billing = Picky(everything=True)
    async with build(billing) as rig:
        await rig.record(1200)
        report = await rig.delivery.flush()
        assert report.paused is not None
        assert report.paused.reason is PauseReason.REFUSES_EVERYTHING
        assert rig.dead() == {}
        assert len(billing.sent) < 60
        await rig.until(lambda: len(billing.sent) > 150)
        assert rig.dead() == {}
        assert rig.states().get("dead", 0) == 0
        billing.everything = False
        await rig.until(lambda: rig.states() == {"synced": 1200})
        assert rig.delivery.paused is None
        assert sorted(str(event["event_id"]) for event in billing.billed) == sorted(rig.recorded)


async def test_a_single_event_that_is_refused_is_kept(build) -> None:
    billing = Picky(everything=True)
    async with build(billing) as rig:
        await rig.record(1)
        report = await rig.delivery.flush()
        assert report.paused is not None
        assert (report.paused.reason, rig.dead(), rig.states()) == (PauseReason.REFUSES_EVERYTHING, {}, {"sealed": 1})


async def test_too_many_bad_events_are_kept_and_hold_up_nobody(build) -> None:
    billing = Picky()
    async with build(billing, batch_size=100) as rig:
        bad = await rig.record(20, camera_id="bad")
        good = await rig.record(180)
        await rig.until(lambda: rig.states().get("synced") == 180)
        assert rig.dead() == {}
        assert rig.states() == {"synced": 180, "sealed": 20}
        backlog = await rig.delivery.backlog()
        assert (backlog.held, backlog.sealed) == (20, 0)
        assert sorted(str(event["event_id"]) for event in billing.billed) == sorted(good)
        waiting = rig.query("SELECT event_id FROM usage_events WHERE state = 'sealed'")
        assert {str(row["event_id"]) for row in waiting} == set(bad)
        tries = len(billing.sent)
        await rig.until(lambda: len(billing.sent) > tries + 3)
        assert [batch["events"] for batch in rig.batches() if batch["state"] == "sealed"] == [20]
        billing.picky = False
        await rig.until(lambda: rig.states() == {"synced": 200})


async def test_bad_events_among_good_ones_do_not_keep_them(build) -> None:
    billing = Picky()
    async with build(billing) as rig:
        for _ in range(30):
            await rig.record(1, camera_id="bad")
            await rig.record(9)
        await rig.until(lambda: rig.states() == {"synced": 270, "sealed": 30}, within=100)
        assert rig.dead() == {}


async def test_a_verdict_that_a_kill_prevented_is_given_later(build) -> None:
    billing = Picky()
    async with build(billing) as rig:
        await rig.record(9)
        (bad,) = await rig.record(1, camera_id="bad")
        await rig.delivery.flush()
        assert rig.dead() == {bad: "REFUSED"}
        rig.execute(  # as it is between the refusal and the verdict
            "DELETE FROM usage_dead_letters",
            "UPDATE usage_events SET state = 'sealed' WHERE state = 'dead'",
            "UPDATE usage_batches SET state = 'sealed', refused = true, settled_at = NULL, dead = 0, body = ''"
            " WHERE dead = 1",
        )
    async with build(billing) as rig:
        tries = len(billing.sent)
        await rig.delivery.sync()
        assert rig.dead() == {bad: "REFUSED"}
        assert len(billing.sent) == tries


async def test_an_ambiguous_half_is_not_drawn_into_the_verdict(build) -> None:
    billing = Picky()
    async with build(billing, quiet=timedelta(hours=1)) as rig:
        await rig.record(5)
        (bad,) = await rig.record(1, camera_id="bad")
        billing.classic()
        scenes = [None, UsageReply(failure=TransportFailure.RESET)]  # the whole is refused, its first half is lost

        async def lose(batch: WireBatch) -> UsageReply:
            scene = scenes.pop(0) if scenes else None
            return scene or await Picky.send_usage(billing, batch)

        billing.send_usage = lose  # type: ignore[method-assign]
        await rig.until(lambda: rig.dead() != {})
        assert rig.dead() == {bad: "REFUSED"}
        assert rig.states() == {"sealed": 3, "synced": 2, "dead": 1}
        assert [batch["state"] for batch in rig.batches()].count("ambiguous") == 1
