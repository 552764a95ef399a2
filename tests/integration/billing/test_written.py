"""``written`` must be true whenever the service may have the whole request, and false only when it certainly has not.

A wrong false bills twice on a service that does not dedupe; a wrong true only holds a batch back.
"""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from tapi_agent.domain.delivery import TransportFailure, UsageReply, WireBatch
from tapi_agent.domain.ids import BatchId

BATCH_ID = BatchId(UUID("01890a5d-ac96-774b-bcce-b302099a8057"))
SMALL = WireBatch(batch_id=BATCH_ID, body=b'{"events":[]}')
FULL = WireBatch(batch_id=BATCH_ID, body=b"x" * 2**20)
HUGE = WireBatch(batch_id=BATCH_ID, body=b"x" * (64 * 2**20))
"""Far more than the kernel buffers of two sockets: it cannot go out before somebody reads."""


async def hangs_unread(_visit: Any) -> None:
    await asyncio.Event().wait()


async def resets_unread(visit: Any) -> None:
    visit.reset()


async def resets_in_the_middle(visit: Any) -> None:
    await visit.reader.readexactly(2**20)
    visit.reset()


async def closes_in_the_middle(visit: Any) -> None:
    await visit.reader.readexactly(2**20)


async def reads_all_and_closes(visit: Any) -> None:
    await visit.request()


async def reads_all_and_resets(visit: Any) -> None:
    await visit.request()
    visit.reset()


async def refuses_in_the_middle(visit: Any) -> None:
    """Answers before it has read the body, as with 413, and goes on reading so that no RST eats the reply."""
    await visit.reader.readuntil(b"\r\n\r\n")
    await visit.send(b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
    while await visit.reader.read(2**20):
        pass


def broken(*, written: bool) -> UsageReply:
    return UsageReply(failure=TransportFailure.RESET, written=written)


def timed_out(*, written: bool) -> UsageReply:
    return UsageReply(failure=TransportFailure.TIMEOUT, written=written)


@pytest.mark.parametrize(
    ("batch", "handler", "expected"),
    [
        pytest.param(SMALL, reads_all_and_closes, broken(written=True), id="small, closed after reading"),
        pytest.param(SMALL, reads_all_and_resets, broken(written=True), id="small, reset after reading"),
        pytest.param(SMALL, hangs_unread, timed_out(written=True), id="small, in the buffer of a hung service"),
        pytest.param(FULL, reads_all_and_closes, broken(written=True), id="full batch, closed after reading"),
        pytest.param(HUGE, reads_all_and_closes, broken(written=True), id="huge, closed after reading"),
        pytest.param(HUGE, resets_unread, broken(written=False), id="huge, reset before reading"),
        pytest.param(HUGE, resets_in_the_middle, broken(written=False), id="huge, reset in the middle"),
        pytest.param(HUGE, closes_in_the_middle, broken(written=False), id="huge, closed in the middle"),
        pytest.param(HUGE, hangs_unread, timed_out(written=False), id="huge, never read"),
    ],
)
async def test_written(batch: WireBatch, handler: Any, expected: UsageReply, serve: Any, billing_at: Any) -> None:
    served = await serve(handler)
    seconds = 0.3 if expected.failure is TransportFailure.TIMEOUT else 20
    assert await billing_at(served.url, timeout=timedelta(seconds=seconds)).send_usage(batch) == expected
    assert served.connections == 1, "a batch is sent exactly once"


async def test_a_small_batch_to_a_resetting_service_is_in_doubt_or_certainly_unwritten(
    serve: Any, billing_at: Any
) -> None:
    served = await serve(resets_unread)
    reply = await billing_at(served.url).send_usage(SMALL)
    assert reply.failure is TransportFailure.RESET
    assert served.received == []


async def test_a_reply_before_the_end_of_the_body_counts(serve: Any, billing_at: Any) -> None:
    served = await serve(refuses_in_the_middle)
    assert (await billing_at(served.url).send_usage(FULL)).status == 413
