"""Every round that sends something is noted; noting never stands in the way of sending."""

from __future__ import annotations

from datetime import timedelta

from typing_extensions import override

from tapi_agent.domain.delivery import UsageReply
from tapi_agent.testing.billing import FakeBilling

SERVICE = "http://billing.test/api/v1"


class SlowBilling(FakeBilling):
    """Takes two seconds for a batch, by the clock in ``passes``."""

    passes = None

    @override
    async def send_usage(self, batch):
        self.passes(timedelta(seconds=2))
        return await super().send_usage(batch)


async def test_rounds_that_send_are_noted_and_others_are_not(build) -> None:
    billing = SlowBilling()
    async with build(billing, batch_size=2) as rig:
        billing.passes = rig.clock.machine.advance
        await rig.delivery.sync()
        assert await rig.stores.memory.status(SERVICE) is None
        await rig.record(3)
        await rig.delivery.flush()
        await rig.delivery.flush()
        status = await rig.stores.memory.status(SERVICE)
    assert (status.attempts, status.errors, status.events_synced, status.last_error) == (1, 0, 3, "")
    assert timedelta(seconds=4) <= status.last_duration == status.total_duration < timedelta(seconds=5)


async def test_a_service_that_takes_nothing_ends_a_round_early(build) -> None:
    billing = FakeBilling()
    billing.reply_to_usage(UsageReply(status=503, body=b"come back later", content_type="text/plain"))
    async with build(billing, first_wait=timedelta(minutes=5), longest_wait=timedelta(minutes=5)) as rig:
        await rig.record(1)
        await rig.delivery.flush()
        failed = await rig.stores.memory.status(SERVICE)
        await rig.delivery.flush()
        mended = await rig.stores.memory.status(SERVICE)
    assert (failed.attempts, failed.errors, failed.events_synced, failed.last_success_at) == (1, 1, 0, None)
    assert "503" in failed.last_error
    assert (mended.attempts, mended.errors, mended.events_synced, mended.last_error) == (2, 1, 1, "")


async def test_a_round_that_cannot_be_noted_is_as_good_as_any(build) -> None:
    async with build(FakeBilling()) as rig:
        rig.execute("ALTER TABLE billing_sync_status ADD CONSTRAINT none CHECK (attempts < 1)")
        await rig.record(3)
        report = await rig.delivery.flush()
        assert (report.synced, report.trouble) == (3, "")
        assert rig.states() == {"synced": 3}
