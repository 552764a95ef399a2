"""After an outage: several batches at once while all goes well, one alone when not, and never too many a second."""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from typing_extensions import override

from tapi_agent.domain.delivery import TransportFailure, UsageReply
from tapi_agent.services.delivery.sink import Sink
from tapi_agent.services.delivery.terms import DeliveryTerms
from tapi_agent.testing.billing import FakeBilling

if TYPE_CHECKING:
    from tapi_agent.domain.delivery import WireBatch


class Crowd(FakeBilling):
    """Answers once no more requests come in: so all that would be under way at once is."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0
        self.most = 0
        self.fails = False

    @override
    async def send_usage(self, batch: WireBatch) -> UsageReply:
        self.now += 1
        before = -1
        while before != self.now:
            before = self.now
            await asyncio.sleep(0.1)
        self.most = max(self.most, self.now)
        self.now -= 1
        if self.fails:
            return UsageReply(failure=TransportFailure.TIMEOUT, written=True)
        return await super().send_usage(batch)


@pytest.fixture
def crowd() -> Crowd:
    return Crowd()


def billed(service: FakeBilling) -> Counter[str]:
    return Counter(str(event["event_id"]) for event in service.billed)


async def test_a_backlog_goes_out_four_at_a_time_and_each_event_once(build, crowd: Crowd) -> None:
    async with build(crowd, batch_size=20) as rig:
        await rig.record(20)
        await rig.delivery.flush()
        assert crowd.most == 1
        await rig.record(200)
        report = await rig.delivery.flush()
        assert (report.synced, report.batches, crowd.most) == (200, 10, 4)
        assert billed(crowd) == Counter(rig.recorded)
        assert rig.states() == {"synced": 220}


async def test_a_service_that_does_not_dedupe_gets_one_batch_after_the_other(build, crowd: Crowd) -> None:
    crowd.classic()
    async with build(crowd, batch_size=20) as rig:
        await rig.record(200)
        await rig.delivery.flush()
        assert (crowd.most, rig.states()) == (1, {"synced": 200})


async def test_when_it_fails_one_alone_tries_on(build, crowd: Crowd) -> None:
    async with build(crowd, batch_size=20) as rig:
        await rig.record(20)
        await rig.delivery.flush()
        crowd.fails = True
        await rig.record(200)
        await rig.delivery.flush()
        crowd.most = 0
        await rig.delivery.flush()
        assert crowd.most == 1
        crowd.fails = False
        await rig.until(lambda: rig.states() == {"synced": 220}, within=60)
        assert billed(crowd) == Counter(rig.recorded)


async def test_a_canceled_round_brings_all_its_requests_to_an_end(build, crowd: Crowd) -> None:
    async with build(crowd, batch_size=20) as rig:
        await rig.record(20)
        await rig.delivery.flush()
        await rig.record(100)
        await rig.delivery.drain()
        crowd.slow()
        round_ = asyncio.ensure_future(rig.delivery.sync())
        async with asyncio.timeout(20):
            while len(crowd.sent) < 5:
                await asyncio.sleep(0.01)
        round_.cancel()
        await asyncio.wait([round_])
        crowd.online()
        await rig.delivery.close()
        assert rig.states() == {"synced": 100, "pending": 20}


async def test_no_more_requests_a_second_than_allowed() -> None:
    loop = asyncio.get_running_loop()
    terms = DeliveryTerms(service="", spacing=timedelta(milliseconds=20))
    sink = Sink(terms=terms, monotonic=loop.time, entropy=bytes)
    began = loop.time()
    await asyncio.gather(*(sink.turn() for _ in range(11)))
    assert loop.time() - began >= 0.2
