"""A spool in memory: a stand-in for the disk."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from uuid import uuid4

from tapi_agent.domain.ids import EPOCH, StreamId
from tapi_agent.domain.tally import tally
from tapi_agent.domain.usage import SpooledEvent
from tapi_agent.ports.spool import SpoolAccount
from tapi_agent.testing.quotas import Turns

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from tapi_agent.domain.usage import UsageEvent, UsageTotal


@dataclass(kw_only=True)
class Disk:
    """What a spool keeps: the texts that wait, and those that have been handed over, by seq."""

    stream: StreamId = field(default_factory=lambda: StreamId(uuid4()))
    drained_seq: int = 0
    last_seq: int = 0
    waiting: dict[int, str] = field(default_factory=dict)
    drained: dict[int, str] = field(default_factory=dict)


class MemorySpool(Turns):
    """Implements ``ports.spool.Spool`` for one run of an agent, on a ``disk`` that outlives it."""

    newest = None
    dedupe_floor = EPOCH

    def __init__(self, disk: Disk) -> None:
        super().__init__()
        self._disk = disk
        self._listeners: list[Callable[[Sequence[UsageEvent]], None]] = []

    @property
    def stream(self) -> StreamId:
        """The stream its events are in."""
        return self._disk.stream

    @property
    def drained_seq(self) -> int:
        """Every seq up to here has been discarded."""
        return self._disk.drained_seq

    @property
    def depth(self) -> int:
        """How many events wait."""
        return len(self._disk.waiting)

    async def raise_floor(self, floor: datetime) -> int:
        """No floor is kept here."""
        raise NotImplementedError(floor)

    async def append(self, events: Sequence[UsageEvent]) -> Sequence[int]:
        """Keep the events: in a task of its own, because they are kept although their caller goes away."""
        return await asyncio.shield(asyncio.ensure_future(self._append(events)))

    def on_kept(self, listener: Callable[[Sequence[UsageEvent]], None]) -> None:
        """Tell ``listener`` of all events from now on."""
        self._listeners.append(listener)

    async def _append(self, events: Sequence[UsageEvent]) -> Sequence[int]:
        await self.wait()
        seqs = range(self._disk.last_seq + 1, self._disk.last_seq + 1 + len(events))
        self._disk.waiting |= {seq: event.canonical for seq, event in zip(seqs, events, strict=True)}
        self._disk.last_seq += len(events)
        await self.pass_turns()
        for listener in self._listeners:
            listener(events)
        return seqs

    async def head(self, limit: int, *, after: int = 0) -> Sequence[SpooledEvent]:
        """The oldest events behind ``after``."""
        await self.wait()
        oldest = [(seq, text) for seq, text in self._disk.waiting.items() if seq > after][:limit]
        return [SpooledEvent(stream=self.stream, seq=seq, canonical=text) for seq, text in oldest]

    async def discard(self, through: int, *, stream: StreamId, totals: Sequence[UsageTotal] = ()) -> None:  # noqa: ARG002
        """Forget those up to ``through``; they are summed up when somebody asks."""
        await self.wait()
        if stream == self.stream:
            self._disk.drained |= {seq: text for seq, text in self._disk.waiting.items() if seq <= through}
            self._disk.waiting = {seq: text for seq, text in self._disk.waiting.items() if seq > through}
            self._disk.drained_seq = max(self._disk.drained_seq, through)

    async def totals(self, *, after: int) -> Sequence[UsageTotal]:
        """What waits."""
        await self.wait()
        found = tally(text for seq, text in self._disk.waiting.items() if seq > after)
        await self.pass_turns()
        return found

    async def account(self) -> SpoolAccount:
        """What was accepted and handed over."""
        await self.wait()
        everything = [*self._disk.drained.values(), *self._disk.waiting.values()]
        return SpoolAccount(
            stream=self.stream,
            drained_seq=self._disk.drained_seq,
            last_seq=self._disk.last_seq,
            accepted=tally(everything),
            drained=tally(self._disk.drained.values()),
        )

    async def renew(self, stream: StreamId) -> None:
        """Begin a new stream in the place of ``stream``."""
        await self.wait()
        if stream == self.stream:
            self._disk.stream, self._disk.drained = StreamId(uuid4()), {}

    async def filled(self) -> None:
        """Nobody waits for that here."""
        raise NotImplementedError
