"""One round of sending: batches one after the other, and several at a time while a backlog is large and all goes well.

A batch on its way is not called back: cancelled in the middle, nobody would know what became of it.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from tapi_agent.domain.errors import TapiError
from tapi_agent.services.delivery.reports import SyncReport

if TYPE_CHECKING:
    from datetime import datetime

    from tapi_agent.domain.batch import LeasedBatch
    from tapi_agent.domain.settlement import Settlement
    from tapi_agent.services.delivery.sender import Sender
    from tapi_agent.services.delivery.sink import Sink

_MOST: Final = 4


class Lanes:
    """Sends over up to four lanes; a batch of ``full`` events tells that there are more where it came from."""

    def __init__(self, *, sender: Sender, sink: Sink, full: int) -> None:
        self._sender = sender
        self._sink = sink
        self._full = full
        self._under_way: set[asyncio.Future[Settlement]] = set()

    async def send_all(self, began: datetime) -> SyncReport:
        """Until nothing is left, the service takes no more, or our own stores fail: then ``trouble`` says why."""
        round_ = _Round(began)
        try:
            await self._lane(round_)
            while round_.others:
                await round_.others.pop()
        finally:
            for lane in round_.others:
                lane.cancel()
        return round_.report

    async def close(self) -> None:
        """Let what is under way come to its end, so that nobody has to ask what became of it."""
        for request in list(self._under_way):
            with suppress(TapiError):
                await request

    async def _lane(self, round_: _Round) -> None:
        round_.lanes += 1
        try:
            while self._goes_on(round_) and (batch := await self._sender.next(round_.began)):
                if self._is_worth_another(round_, batch):
                    round_.others.append(asyncio.ensure_future(self._lane(round_)))
                settlement = await self._deliver(batch)
                round_.report = round_.report.plus(batch, settlement)
        except TapiError as error:
            round_.report = replace(round_.report, trouble=round_.report.trouble or str(error))
        finally:
            round_.lanes -= 1

    def _goes_on(self, round_: _Round) -> bool:
        """After a failure one lane alone tries on."""
        return not (self._sink.resting or round_.report.trouble or (self._sink.failing and round_.lanes > 1))

    def _is_worth_another(self, round_: _Round, batch: LeasedBatch) -> bool:
        """Not with a service that does not dedupe: its sums tell less the more is under way."""
        goes_well = self._sender.memory.dedupes and not self._sink.failing
        return goes_well and round_.lanes < _MOST and len(batch.event_ids) >= self._full

    async def _deliver(self, batch: LeasedBatch) -> Settlement:
        await self._sink.turn()
        request = asyncio.ensure_future(self._sender.deliver(batch))
        self._under_way.add(request)
        request.add_done_callback(self._under_way.discard)
        return await asyncio.shield(request)


class _Round:
    """What the lanes of a round share."""

    def __init__(self, began: datetime) -> None:
        self.began = began
        self.report = SyncReport()
        self.lanes = 0
        self.others: list[asyncio.Future[None]] = []
