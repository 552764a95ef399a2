"""The daemon's side: draining by itself, waking, the schedule, several agents, and what a kill leaves behind."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from tests.integration.usage.conftest import eventually
from typing_extensions import override

from tapi_agent.domain.delivery import UsageReply
from tapi_agent.domain.errors import UnavailableError
from tapi_agent.domain.ids import DeviceId
from tapi_agent.domain.settlement import Settled
from tapi_agent.services.connectivity import POSTGRES
from tapi_agent.telemetry.metrics import REGISTRY
from tapi_agent.testing.billing import FakeBilling

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tapi_agent.domain.delivery import WireBatch


@asynccontextmanager
async def running(rig: Any) -> AsyncIterator[None]:
    task = asyncio.ensure_future(rig.delivery.run())
    while not rig.delivery._syncing.locked():
        await asyncio.sleep(0)
    async with rig.delivery._syncing:  # the first round is over
        pass
    yield
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


def billed(billing: FakeBilling) -> Counter[str]:
    return Counter(str(event["event_id"]) for event in billing.billed)


async def test_what_is_recorded_drains_by_itself_and_is_sent_when_it_is_due(build) -> None:
    billing = FakeBilling()
    async with build(billing, batch_size=10) as rig, running(rig):
        await rig.record(3)
        await eventually(lambda: rig.states() == {"pending": 3})
        assert await rig.delivery.sync_if_due() is None
        await rig.record(7)
        await eventually(lambda: rig.states() == {"pending": 10})
        report = await rig.delivery.sync_if_due()
        assert report is not None
        assert report.synced == 10
        await rig.record(1)
        await eventually(lambda: rig.states() == {"pending": 1, "synced": 10} and rig.spool.depth == 0)
        backlog = await rig.delivery.backlog()
        assert (backlog.pending, backlog.spooled, backlog.sealed) == (1, 0, 0)
        assert backlog.oldest_pending_at is not None
        rig.clock.machine.advance(timedelta(minutes=1, seconds=50))
        assert await rig.delivery.sync_if_due() is None
        rig.clock.machine.advance(timedelta(seconds=41))
        assert await rig.delivery.sync_if_due() is not None
        assert billed(billing) == Counter(rig.recorded)


async def test_metrics_tell_how_much_waits_and_for_how_long(build) -> None:
    async with build(FakeBilling()) as rig:
        await rig.record(3)
        await rig.delivery.drain()
        rig.clock.machine.advance(timedelta(minutes=7))
        await rig.delivery.measure()
        assert REGISTRY.get_sample_value("tapi_usage_backlog", {"stretch": "pending"}) == 3
        assert REGISTRY.get_sample_value("tapi_usage_oldest_pending_seconds") >= 420
        await rig.delivery.flush()
        await rig.delivery.measure()
        assert REGISTRY.get_sample_value("tapi_usage_backlog", {"stretch": "pending"}) == 0
        assert REGISTRY.get_sample_value("tapi_usage_oldest_pending_seconds") == 0


async def test_a_batch_that_waits_after_a_failure_makes_a_round_due(build) -> None:
    billing = FakeBilling()
    billing.reply_to_usage(UsageReply(status=503))
    async with build(billing) as rig:
        await rig.record(1)
        await rig.delivery.flush()
        rig.clock.machine.advance(timedelta(seconds=1))
        async with asyncio.timeout(5):
            while await rig.delivery.sync_if_due() is None:
                await asyncio.sleep(0.01)
        assert rig.states() == {"synced": 1}


async def test_it_wakes_when_the_service_is_back(build) -> None:
    billing = FakeBilling()
    billing.offline()
    async with build(billing, first_wait=timedelta(minutes=5)) as rig, running(rig):
        await rig.record(3)
        await eventually(lambda: rig.states() == {"pending": 3})
        await rig.delivery.flush()
        assert rig.delivery.paused is not None
        billing.online()
        rig.delivery.wake()
        await eventually(lambda: rig.states() == {"synced": 3})
        await eventually(lambda: rig.delivery.paused is None)


async def test_one_round_at_a_time(build) -> None:
    billing = FakeBilling()
    async with build(billing) as rig:
        await rig.record(3)
        await rig.delivery.drain()
        billing.slow()
        round_under_way = asyncio.ensure_future(rig.delivery.sync())
        await eventually(lambda: billing.sent)
        assert await rig.delivery.sync_if_due() is None
        billing.online()
        await round_under_way
        assert rig.states() == {"synced": 3}


async def test_a_round_that_is_canceled_brings_its_request_to_an_end(build) -> None:
    billing = FakeBilling()
    billing.classic()
    async with build(billing) as rig:
        await rig.record(3)
        await rig.delivery.drain()
        billing.slow()
        canceled = asyncio.ensure_future(rig.delivery.sync())
        await eventually(lambda: billing.sent)
        canceled.cancel()
        with suppress(asyncio.CancelledError):
            await canceled
        closing = asyncio.ensure_future(rig.delivery.close())
        await asyncio.sleep(0)
        assert not closing.done()
        billing.online()
        await closing
        assert rig.states() == {"synced": 3}


async def test_without_the_database_everything_waits_and_says_so(build) -> None:
    async with build(FakeBilling()) as rig:
        await rig.record(3)
        await rig.database.close()
        with pytest.raises(UnavailableError):
            await rig.delivery.drain()
        assert (await rig.delivery.flush()).trouble
        assert (await rig.delivery.sync()).trouble
        assert await rig.delivery.sync_if_due() is None
        backlog = await rig.delivery.backlog()
        assert (backlog.spooled, backlog.pending) == (3, None)
        rig.delivery._connectivity.failed(POSTGRES, UnavailableError("down"))
        assert (await rig.delivery.backlog()).pending is None


@pytest.mark.parametrize("classic", [True, False], ids=["classic", "dedupes"])
async def test_a_reply_that_could_not_be_written_down_is_not_forgotten(build, monkeypatch, classic: bool) -> None:  # noqa: FBT001
    billing = FakeBilling()
    if classic:
        billing.classic()
    async with build(billing) as rig:
        await rig.record(3)
        await rig.delivery.drain()
        settle = rig.stores.batches.settle

        async def fail(*_: object, **__: object) -> bool:
            raise UnavailableError("PostgreSQL is gone for a moment")

        monkeypatch.setattr(rig.stores.batches, "settle", fail)
        assert "gone" in (await rig.delivery.sync()).trouble
        assert "gone" in (await rig.delivery.sync()).trouble
        monkeypatch.setattr(rig.stores.batches, "settle", settle)
        assert (await rig.delivery.sync()).trouble == ""
        assert rig.states() == {"synced": 3}
        assert len(billing.sent) == 1


class Dying(FakeBilling):
    """The process dies with the request: nobody hears the reply. ``stored``: the service has heard the request."""

    def __init__(self, *, stored: bool) -> None:
        super().__init__()
        self._stored = stored
        self.alive = False

    @override
    async def send_usage(self, batch: WireBatch) -> UsageReply:
        if self.alive or self._stored:
            reply = await super().send_usage(batch)
        if self.alive:
            return reply
        raise SystemError("killed")


@pytest.mark.parametrize("stored", [True, False], ids=["stored", "not stored"])
@pytest.mark.parametrize("service", ["known to dedupe", "unknown", "classic"])
async def test_what_was_being_sent_when_the_agent_was_killed_is_billed_once(build, service: str, stored: bool) -> None:  # noqa: FBT001
    billing = Dying(stored=stored)
    if service == "classic":
        billing.classic()
    async with build(billing) as rig:
        if service == "known to dedupe":
            billing.alive = True
            await rig.record(1)
            await rig.delivery.flush()
            billing.alive = False
        earlier = list(rig.recorded)
        recorded = earlier + await rig.record(5)
        with suppress(SystemError):
            await rig.delivery.flush()
        assert rig.batches()[-1]["state"] == "sending"
    billing.alive = True
    async with build(billing) as rig:
        await rig.until(lambda: rig.states() == {"synced": len(recorded)})
        assert billed(billing) == Counter(recorded)
        assert "ambiguous" not in {batch["state"] for batch in rig.batches()}


async def test_another_agent_takes_over_only_after_the_lease(build) -> None:
    billing = Dying(stored=False)
    async with build(billing) as dead:
        ids = await dead.record(5)
        with suppress(SystemError):
            await dead.delivery.flush()
        billing.alive = True
        other_spool = dead.spool._place.path.with_name("other.db")
        async with build(billing, path=other_spool, device=DeviceId("device-2")) as rig:
            await rig.delivery.sync()
            assert rig.states() == {"sealed": 5}
            rig.execute("UPDATE usage_batches SET lease_until = now()")
            await rig.until(lambda: rig.states() == {"synced": 5})
        assert billed(billing) == Counter(ids)


async def test_a_zombies_success_counts_and_its_failure_does_not(build) -> None:
    billing = FakeBilling()
    async with build(billing) as rig:
        await rig.record(2)
        await rig.delivery.drain()
        zombies = await _leased(rig)
        rig.execute("UPDATE usage_batches SET state = 'sealed', lease_owner = NULL, lease_until = NULL")
        ours = await _leased(rig)
        assert (zombies.batch_id, zombies.fence + 1) == (ours.batch_id, ours.fence)
        batches = rig.stores.batches
        await batches.retry(zombies, detail="late", delay=timedelta(hours=1))
        await batches.doubt(zombies, detail="late", delay=timedelta(hours=1), partial=False)
        await batches.replace(zombies, parts=2, dialect=zombies.dialect, detail="late")
        assert [batch["state"] for batch in rig.batches()] == ["sending"]
        settled = Settled(synced=frozenset(zombies.event_ids))
        assert await batches.settle(zombies.batch_id, settled, delay=timedelta(0))
        assert rig.states() == {"synced": 2}
        assert not await batches.settle(ours.batch_id, settled, delay=timedelta(0))
        await batches.retry(ours, detail="later still", delay=timedelta(0))
        assert [batch["state"] for batch in rig.batches()] == ["settled"]


async def _leased(rig: Any) -> Any:
    await rig.stores.batches.seal(limit=10, max_bytes=10_000, dialect="extended", dedupes=True)
    batch = await rig.stores.batches.lease(began=datetime.max.replace(tzinfo=UTC), duration=timedelta(minutes=1))
    assert batch is not None
    return batch


async def test_agents_of_one_site_share_the_database_and_bill_everything_once(build) -> None:
    billing = FakeBilling()
    async with build(billing, batch_size=50) as one:
        other_spool = one.spool._place.path.with_name("other.db")
        async with build(billing, path=other_spool, device=DeviceId("device-2"), batch_size=50) as two:
            for _ in range(5):
                await one.record(200)
                await two.record(200)
                reports = await asyncio.gather(one.delivery.flush(), two.delivery.flush())
                assert [report.trouble for report in reports] == ["", ""]
            assert one.states() == {"synced": 2000}
            assert billed(billing) == Counter(one.recorded + two.recorded)
            mixed = "SELECT batch_id FROM usage_events GROUP BY batch_id HAVING count(DISTINCT device_id) > 1"
            assert one.query(mixed) == []


class Failing:
    """Stands before a store's call and lets it fail a few times."""

    def __init__(self, call: Any, times: int) -> None:
        self._call = call
        self.left = times

    async def __call__(self, *arguments: Any, **named: Any) -> Any:
        if self.left:
            self.left -= 1
            raise UnavailableError("gone for a moment")
        return await self._call(*arguments, **named)


async def test_draining_goes_on_by_itself_after_an_outage(build, monkeypatch) -> None:
    async with build(FakeBilling()) as rig:
        keep = Failing(rig.stores.ledger.keep, times=4)
        monkeypatch.setattr(rig.stores.ledger, "keep", keep)
        async with running(rig):
            await rig.record(3)
            await eventually(lambda: rig.states() == {"pending": 3} and not rig.spool.depth)
        assert keep.left == 0


async def test_a_first_round_that_finds_no_database_is_made_up_for(build, monkeypatch) -> None:
    billing = FakeBilling()
    async with build(billing) as rig:
        await rig.record(3)
        await rig.delivery.drain()
        recall = Failing(rig.stores.memory.recall, times=3)
        monkeypatch.setattr(rig.stores.memory, "recall", recall)
        async with running(rig):
            await eventually(lambda: rig.states() == {"synced": 3})
        assert recall.left == 0
