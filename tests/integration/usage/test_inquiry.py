"""Asking a classic service about ambiguous batches, while other agents of the site send and ask as well."""

from __future__ import annotations

import tracemalloc
from collections import Counter
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from typing_extensions import override

from tapi_agent.domain.delivery import TransportFailure, UsageReply
from tapi_agent.domain.errors import UnavailableError
from tapi_agent.domain.ids import DeviceId
from tapi_agent.domain.settlement import Settled
from tapi_agent.testing.billing import FakeBilling

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
    from datetime import datetime
    from decimal import Decimal

    from tapi_agent.domain.ids import TenantId

NOON = "2027-03-01T12:00:00Z"
NOT_STORED = UsageReply(failure=TransportFailure.RESET, written=True)


class Eventful(FakeBilling):
    """A classic service; things happen around the next question for its sums. ``hung``: it answers no question."""

    def __init__(self) -> None:
        super().__init__()
        self.classic()
        self.questions_for_sums = 0
        self.hung = False
        self.before: Callable[[], Awaitable[object]] | None = None
        self.after: Callable[[], Awaitable[object]] | None = None

    @override
    async def usage_sums(self, tenant_id: TenantId, *, start: datetime, end: datetime) -> Mapping[str, Decimal]:
        self.questions_for_sums += 1
        if self.hung:
            raise UnavailableError("no complete reply in time")
        (before, after), self.before, self.after = (self.before, self.after), None, None
        if before:
            await before()
        sums = await super().usage_sums(tenant_id, start=start, end=end)
        if after:
            await after()
        return sums


@pytest.fixture
def billing() -> Eventful:
    return Eventful()


@pytest.fixture
def two(build: Any, billing: Eventful) -> Callable[..., Any]:
    """``two(**terms)`` is a context manager with two agents of one site."""

    @asynccontextmanager
    async def make(**terms: Any) -> AsyncIterator[tuple[Any, Any]]:
        async with build(billing, **terms) as one:
            path = one.spool._place.path.with_name("other.db")
            async with build(billing, path=path, device=DeviceId("device-2"), **terms) as other:
                yield one, other

    return make


def times(billing: FakeBilling) -> Counter[str]:
    return Counter(str(event["event_id"]) for event in billing.billed)


def ask_now(rig: Any) -> None:
    rig.execute("UPDATE usage_batches SET next_attempt_at = now() WHERE state = 'ambiguous'")


def ask_in_an_hour(rig: Any) -> None:
    rig.execute("UPDATE usage_batches SET next_attempt_at = now() + interval '1 h' WHERE state = 'ambiguous'")


async def test_what_another_agent_delivers_meanwhile_is_not_taken_for_the_batch(two, billing: Eventful) -> None:
    async with two() as (one, other):
        await one.record(5, event_time=NOON)
        billing.reply_to_usage(NOT_STORED)
        assert (await one.delivery.flush()).ambiguous == 5
        await other.record(5, event_time=NOON)

        async def deliver() -> None:
            ask_in_an_hour(one)
            assert (await other.delivery.flush()).synced == 5

        billing.before = deliver
        await one.delivery.sync()
        assert one.states() == {"synced": 5, "sealed": 5}
        ask_now(one)
        await one.until(lambda: one.states() == {"synced": 10})
        assert times(billing) == Counter(one.recorded + other.recorded)


async def test_a_late_verdict_does_not_send_again_what_was_sent_again_meanwhile(two, billing: Eventful) -> None:
    async with two() as (one, other):
        await one.record(5, event_time=NOON)
        billing.reply_to_usage(NOT_STORED)
        await one.delivery.flush()

        async def send_again_and_lose_the_reply() -> None:
            billing.lose_next_reply()
            assert (await other.delivery.sync()).ambiguous == 5

        billing.after = send_again_and_lose_the_reply
        await one.delivery.sync()
        await one.until(lambda: one.states() == {"synced": 5})
        assert times(billing) == Counter(one.recorded)


@pytest.mark.parametrize("resend_unknown", [False, True], ids=["hold", "retry"])
async def test_nothing_is_decided_while_another_batch_of_that_time_is_under_way(
    two,
    billing: Eventful,
    resend_unknown: bool,  # noqa: FBT001 - a parameter
) -> None:
    async with two(resend_unknown=resend_unknown) as (one, other):
        await one.record(5, event_time=NOON)
        billing.lose_next_reply()
        await one.delivery.flush()
        await other.record(5, event_time=NOON)
        await other.delivery.drain()
        await other.stores.batches.seal(limit=10, max_bytes=10_000, dialect="extended", dedupes=False)
        under_way = await other.stores.batches.lease(began=await _now(other), duration=timedelta(hours=1))
        for _ in range(3):
            ask_now(one)
            await one.delivery.sync()
        assert (len(billing.sent), one.states()) == (1, {"sealed": 10})
        await other.stores.batches.retry(under_way, detail="not written", delay=timedelta(0))
        ask_now(one)
        await one.until(lambda: one.states() == {"synced": 10})
        assert times(billing) == Counter(one.recorded + other.recorded)


async def test_a_hung_service_is_asked_about_one_batch_and_not_about_all(build, billing: Eventful) -> None:
    async with build(billing, batch_size=5) as rig:
        for hour in range(4):
            await rig.record(5, event_time=f"2027-03-01T{hour:02}:00:00Z")
            billing.lose_next_reply()
            await rig.delivery.flush()
            ask_in_an_hour(rig)
        billing.hung = True
        for tries in range(1, 4):
            ask_now(rig)
            await rig.delivery.sync()
            assert billing.questions_for_sums == tries
        billing.hung = False
        ask_now(rig)
        await rig.until(lambda: rig.states() == {"synced": 20})
        assert times(billing) == Counter(rig.recorded)


async def test_a_doubt_that_was_decided_meanwhile_is_not_asked_about(build, billing: Eventful) -> None:
    async with build(billing, batch_size=5) as rig:
        for hour in range(2):
            await rig.record(5, event_time=f"2027-03-01T{hour:02}:00:00Z")
            billing.lose_next_reply()
            await rig.delivery.flush()
            ask_in_an_hour(rig)
        _, second = rig.batches()

        async def decide() -> None:
            members = rig.query("SELECT event_id FROM usage_events WHERE batch_id = %s", second["batch_id"])
            settled = Settled(synced=frozenset(row["event_id"] for row in members))
            assert await rig.stores.batches.settle(second["batch_id"], settled, delay=timedelta(0))

        billing.before = decide
        ask_now(rig)
        await rig.delivery.sync()
        assert (billing.questions_for_sums, rig.states()) == (1, {"synced": 10})


async def test_doubts_of_a_long_outage_are_taken_up_one_at_a_time(build, billing: Eventful) -> None:
    async with build(billing) as rig:
        for hour in range(6):
            await rig.record(25, event_time=f"2027-03-01T{hour:02}:00:00Z", metadata={"filler": "x" * 30_000})
            billing.lose_next_reply()
            await rig.delivery.flush()
            ask_in_an_hour(rig)
        ask_now(rig)
        tracemalloc.start()
        await rig.delivery.sync()
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert rig.states() == {"synced": 150}
        assert most < 4 * 25 * 30_000


async def _now(rig: Any) -> datetime:
    return await rig.stores.batches.now()
