"""One suite for what keeps usage until the database has it: the fake and the file."""

from __future__ import annotations

from contextlib import asynccontextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

import pytest

from tapi_agent.adapters.spool import SqliteSpool
from tapi_agent.domain.event_time import Moment
from tapi_agent.domain.ids import DeviceId, TenantId
from tapi_agent.domain.tally import tally_events
from tapi_agent.domain.usage import Meter
from tapi_agent.domain.usage_draft import Intake, read_draft
from tapi_agent.testing.clock import START
from tapi_agent.testing.spool import Disk, MemorySpool

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path

    from tapi_agent.domain.usage import UsageEvent
    from tapi_agent.ports.spool import Spool

METERS: Final = {key: Meter(key=key, unit="units") for key in ("api_call", "llm_tokens")}
INTAKE: Final = Intake(meters=METERS, device_id=DeviceId("box"), default_tenant=TenantId("acme"))


@pytest.fixture(params=["memory", "file"])
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], AbstractAsyncContextManager[Spool]]:
    """``opened()`` is one life of the agent on the test's disk."""
    disk = Disk()

    @asynccontextmanager
    async def memory() -> AsyncIterator[Spool]:
        yield MemorySpool(disk)

    @asynccontextmanager
    async def file() -> AsyncIterator[Spool]:
        spool = SqliteSpool(tmp_path / "spool.db", floor=START)
        await spool.open()
        yield spool
        await spool.close()

    return memory if request.param == "memory" else file


def events(count: int, *, start: int = 0) -> list[UsageEvent]:
    """Of two meters, and one of five does not go to the bill."""
    return [event(number) for number in range(start, start + count)]


def event(number: int) -> UsageEvent:
    now = START + timedelta(milliseconds=number)
    moment = Moment(now=now, latest=now, floor=START, entropy=number.to_bytes(10))
    meter, billable = ("api_call", "llm_tokens")[number % 2], number % 5 > 0
    return read_draft({"event_type": meter, "quantity": f"{number}.5", "billable": billable}, INTAKE, moment)


def texts(found: Any) -> list[str]:
    return [one.canonical for one in found]


async def test_seqs_go_on_and_what_waits_comes_out_in_their_order(opened) -> None:
    async with opened() as spool:
        assert list(await spool.append(events(3))) == [1, 2, 3]
        assert list(await spool.append(events(2, start=3))) == [4, 5]
        head = await spool.head(4)
        assert [(one.stream, one.seq) for one in head] == [(spool.stream, seq) for seq in range(1, 5)]
        assert texts(head) == texts(events(4))
        assert [one.seq for one in await spool.head(2, after=2)] == [3, 4]
        assert list(await spool.head(2, after=5)) == []


async def test_what_is_discarded_is_gone_and_the_rest_waits(opened) -> None:
    async with opened() as spool:
        await spool.append(events(5))
        await spool.discard(3, stream=spool.stream)
        assert (spool.depth, spool.drained_seq) == (2, 3)
        assert texts(await spool.head(10)) == texts(events(2, start=3))


async def test_discarding_again_what_is_gone_takes_nothing_back(opened) -> None:
    async with opened() as spool:
        await spool.append(events(5))
        await spool.discard(4, stream=spool.stream)
        before = await spool.account()
        await spool.discard(2, stream=spool.stream)
        assert (spool.depth, spool.drained_seq) == (1, 4)
        assert await spool.account() == before


async def test_seqs_of_another_stream_discard_nothing(opened) -> None:
    async with opened() as spool:
        await spool.append(events(5))
        former = spool.stream
        await spool.renew(former)
        await spool.discard(3, stream=former)
        assert (spool.depth, texts(await spool.head(10))) == (5, texts(events(5)))


async def test_the_account_is_that_of_everything_that_came_by(opened) -> None:
    async with opened() as spool:
        await spool.append(events(12))
        await spool.discard(7, stream=spool.stream)
        account = await spool.account()
        assert (account.stream, account.drained_seq, account.last_seq) == (spool.stream, 7, 12)
        assert account.accepted == tally_events(events(12))
        assert account.drained == tally_events(events(7))
        assert (account.copied_from, account.suspect_seq) == (None, 0)


@pytest.mark.parametrize("told", [6, 7, 8], ids=["too few", "as many", "too many"])
async def test_totals_that_the_caller_knows_make_no_difference(opened, told: int) -> None:
    async with opened() as spool:
        await spool.append(events(12))
        await spool.discard(7, stream=spool.stream, totals=tally_events(events(told)))
        assert (await spool.account()).drained == tally_events(events(7))


@pytest.mark.parametrize("after", [0, 4, 7, 12])
async def test_what_waits_behind_a_seq_adds_up(opened, after: int) -> None:
    async with opened() as spool:
        await spool.append(events(12))
        await spool.discard(4, stream=spool.stream)
        start = max(after, 4)
        assert await spool.totals(after=after) == tally_events(events(12 - start, start=start))


async def test_a_new_stream_has_accepted_what_waits(opened) -> None:
    async with opened() as spool:
        await spool.append(events(5))
        former = spool.stream
        await spool.discard(2, stream=former)
        await spool.renew(former)
        account = await spool.account()
        assert account.stream == spool.stream != former
        assert (account.accepted, account.drained) == (tally_events(events(3, start=2)), [])
        assert texts(await spool.head(10)) == texts(events(3, start=2))
        assert list(await spool.append(events(1, start=5))) == [6]


async def test_a_stream_is_replaced_once(opened) -> None:
    async with opened() as spool:
        former = spool.stream
        await spool.renew(former)
        renewed = spool.stream
        await spool.renew(former)
        assert spool.stream == renewed


async def test_listeners_hear_of_events_before_their_caller_does(opened) -> None:
    async with opened() as spool:
        heard: list[UsageEvent] = []
        spool.on_kept(heard.extend)
        await spool.append(events(3))
        assert heard == events(3)


async def test_another_life_goes_on_where_the_last_one_was(opened) -> None:
    async with opened() as spool:
        await spool.append(events(5))
        await spool.discard(2, stream=spool.stream)
        before = await spool.account()
    async with opened() as spool:
        assert await spool.account() == before
        assert (spool.stream, spool.depth, spool.drained_seq) == (before.stream, 3, 2)
        assert list(await spool.append(events(1, start=5))) == [6]
