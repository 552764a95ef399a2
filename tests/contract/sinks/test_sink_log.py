"""One suite for the events that sinks follow: the fake and PostgreSQL with its real ledger of usage."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from uuid import UUID

import pytest

from tapi_agent.adapters.postgres.sinks import PostgresSinkLog
from tapi_agent.adapters.postgres.usage import PostgresLedger
from tapi_agent.domain.event_time import Moment
from tapi_agent.domain.ids import EPOCH, DeviceId, StreamId, TenantId
from tapi_agent.domain.usage import Meter, SpooledEvent, UsageEvent
from tapi_agent.domain.usage_draft import Intake, read_draft
from tapi_agent.testing.clock import START
from tapi_agent.testing.sinks import FakeSinkLog

if TYPE_CHECKING:
    from tapi_agent.adapters.postgres.pool import Database
    from tapi_agent.ports.sinks import SinkLog

SINK: Final = "archive/s3"
BOX, OTHER = DeviceId("box"), DeviceId("other")
OLD, NEW, FOREIGN = (StreamId(UUID(int=number)) for number in (1, 2, 3))
METERS: Final = {"api_call": Meter(key="api_call", unit="calls")}


def event(number: int) -> UsageEvent:
    intake = Intake(meters=METERS, device_id=BOX, default_tenant=TenantId("acme"))
    moment = Moment(now=START, latest=START, floor=EPOCH, entropy=number.to_bytes(10, "big"))
    corrects = str(UUID(int=7)) if number == 1 else None
    fields = {"quantity": "1.250", "resource_type": "model", "camera_id": "cam", "metadata": {"n": number}}
    return read_draft({"event_type": "api_call", "corrects": corrects} | fields, intake, moment)


class Site:
    """What is drained, and the log of it."""

    def __init__(self, database: Database | None) -> None:
        self._database = database
        self._fake = FakeSinkLog()
        self.log: SinkLog = self._fake if database is None else PostgresSinkLog(database=database, device_id=BOX)

    async def drain(self, *seqs: int, stream: StreamId = OLD) -> None:
        """Events under these seqs; a seq below 0 is taken by a repeat of event 1."""
        for seq in seqs:
            if self._database is None:
                if stream != FOREIGN:
                    self._fake.drain(stream, abs(seq), event(seq) if seq > 0 else None)
                continue
            spooled = SpooledEvent(stream=stream, seq=abs(seq), canonical=event(seq if seq > 0 else 1).canonical)
            device = OTHER if stream == FOREIGN else BOX
            await PostgresLedger(database=self._database, device_id=device).keep([spooled])

    async def follow(self, *, stream: StreamId | None = OLD, since_beginning: bool = False) -> None:
        await self.log.follow(SINK, stream=stream, since_beginning=since_beginning)

    async def rest(self, limit: int = 500) -> list[list[UsageEvent]]:
        """Take all there is, page by page."""
        pages = []
        while page := await self.log.page(SINK, limit=limit):
            pages.append(list(page.events))
            await self.log.advance(SINK, page)
        return pages


@pytest.fixture
def site(store_database: Database | None) -> Site:
    return Site(store_database)


async def test_a_new_sink_starts_at_the_present(site: Site) -> None:
    await site.drain(1, 2)
    await site.follow()
    assert await site.rest() == []
    await site.drain(3)
    assert await site.rest() == [[event(3)]]


async def test_a_sink_may_want_the_past(site: Site) -> None:
    await site.drain(1, 2)
    await site.follow(since_beginning=True)
    assert await site.rest() == [[event(1), event(2)]]


async def test_what_comes_between_the_first_look_and_the_first_drain_is_not_missed(site: Site) -> None:
    await site.follow(stream=OLD)
    await site.drain(1)
    await site.follow(stream=OLD)
    assert await site.rest() == [[event(1)]]


async def test_a_sink_that_nobody_has_introduced_gets_nothing(site: Site) -> None:
    await site.drain(1)
    assert await site.log.page(SINK, limit=5) is None


async def test_pages_are_small_and_in_order(site: Site) -> None:
    await site.follow()
    await site.drain(1, 2, 3, 4, 5)
    assert await site.rest(limit=2) == [[event(1), event(2)], [event(3), event(4)], [event(5)]]


async def test_a_page_that_was_not_taken_comes_again(site: Site) -> None:
    await site.follow()
    await site.drain(1, 2, 3)
    first = await site.log.page(SINK, limit=2)
    again = await site.log.page(SINK, limit=2)
    assert first is not None
    assert first == again
    assert (first.through, first.behind) == (2, 3)


async def test_a_cursor_never_goes_back(site: Site) -> None:
    await site.follow()
    await site.drain(1, 2)
    first = await site.log.page(SINK, limit=1)
    assert first is not None
    await site.rest()
    await site.log.advance(SINK, first)
    assert await site.rest() == []


async def test_holes_are_stepped_over(site: Site) -> None:
    await site.follow()
    await site.drain(1, -2, -3, -4, -5, -6, 7, -8, -9)
    assert await site.rest(limit=2) == [[event(1)], [], [event(7)], []]


async def test_a_new_spool_file_is_followed_from_its_beginning_and_after_the_old_one(site: Site) -> None:
    await site.follow()
    await site.drain(1)
    await site.drain(2, stream=NEW)
    await site.follow(stream=NEW)
    assert await site.rest() == [[event(1)], [event(2)]]


async def test_another_device_s_events_are_its_own_affair(site: Site) -> None:
    await site.follow(since_beginning=True)
    await site.drain(1, stream=FOREIGN)
    await site.follow(since_beginning=True)
    assert await site.rest() == []


async def test_each_sink_has_a_cursor_of_its_own(site: Site) -> None:
    await site.follow()
    await site.log.follow("archive/other", stream=OLD, since_beginning=False)
    await site.drain(1)
    await site.rest()
    other = await site.log.page("archive/other", limit=5)
    assert other is not None
    assert other.events == [event(1)]
