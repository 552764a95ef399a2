"""What the agents of a site share about quotas, in memory: a stand-in for PostgreSQL.

``turns`` says for how many turns of the event loop a call waits before and after what it does, so that a test can let
other tasks in between.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import TYPE_CHECKING, Final

from tapi_agent.domain.canonical import event_id_of
from tapi_agent.domain.errors import SetBackError, UnavailableError
from tapi_agent.domain.quota import UNLIMITED
from tapi_agent.domain.tally import tally
from tapi_agent.ports.quotas import Count, Stake
from tapi_agent.ports.usage import Comparison, Kept
from tapi_agent.testing.licenses import Switch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from datetime import datetime

    from tapi_agent.domain.ids import DeviceId, EventId, StreamId, TenantId
    from tapi_agent.domain.usage import SpooledEvent, UsageTotal
    from tapi_agent.ports.quotas import LimitRule, QuotaKey
    from tapi_agent.ports.spool import SpoolAccount

_ZERO: Final = Decimal(0)


class Turns(Switch):
    """Something that can be down, or take its time; ``calls`` counts what it was asked.

    It belongs to a process: once that ``is_killed``, its calls never come back.
    """

    def __init__(self) -> None:
        super().__init__()
        self.turns: Callable[[], int] = lambda: 0
        self.calls = 0
        self.is_killed = False
        self._never = asyncio.Event()

    async def wait(self) -> None:
        """For some turns; then raises ``UnavailableError`` while down."""
        self.calls += 1
        await self.pass_turns()
        self.check()

    async def pass_turns(self) -> None:
        """For some turns."""
        for _ in range(self.turns()):
            await asyncio.sleep(0)
        if self.is_killed:
            await self._never.wait()


@dataclass(frozen=True, slots=True, kw_only=True)
class Word:
    """What the service has said of a quota."""

    remaining: Decimal
    settled: Decimal
    said_at: datetime

    @property
    def limit(self) -> Decimal:
        """What it comes to."""
        return Decimal(UNLIMITED) if self.remaining == UNLIMITED else max(self.remaining + self.settled, _ZERO)


class QuotaBook(Turns):
    """The usage of all devices as far as it is drained, and the words and stakes on their quotas.

    While ``loses_answers`` what is asked of it is done, and nobody is told.
    """

    def __init__(self) -> None:
        super().__init__()
        self.words: dict[QuotaKey, Word] = {}
        self.stakes: dict[tuple[QuotaKey, DeviceId], Stake] = {}
        self.loses_answers = False
        self._drained: dict[StreamId, int] = {}
        self._events: dict[EventId, UsageTotal] = {}
        self._synced: set[EventId] = set()

    async def compare(self, account: SpoolAccount) -> Comparison:
        """Nothing is ever lost here: ``ports.usage.Ledger.compare``."""
        await self.wait()
        return Comparison(spool_is_older=self.drained_seq(account.stream) > account.last_seq)

    async def keep(self, events: Sequence[SpooledEvent], *, after: int = 0) -> Kept:
        """Take events over from a spool: ``ports.usage.Ledger.keep``."""
        await self.wait()
        if self.drained_seq(events[-1].stream) < after:
            raise SetBackError("this book has never lost anything")
        new = {event_id_of(event.canonical): event for event in events}
        self._events = {key: tally([event.canonical])[0] for key, event in new.items()} | self._events
        self._drained[events[-1].stream] = max(events[-1].seq, self.drained_seq(events[-1].stream))
        await self.wait()
        return Kept(new=len(new))

    def sync(self) -> None:
        """The service has all of it."""
        self._synced.update(self._events)

    def drained_seq(self, stream: StreamId | None) -> int:
        """Up to where a stream is in here."""
        return self._drained.get(stream, 0) if stream else 0

    def used(self, key: QuotaKey) -> Decimal:
        """All usage of a quota."""
        return sum((total.quantity + total.local_quantity for _, total in self._of(key)), _ZERO)

    def settled(self, key: QuotaKey) -> Decimal:
        """What of it the service has."""
        return sum((total.quantity for event_id, total in self._of(key) if event_id in self._synced), _ZERO)

    def others(self, key: QuotaKey, device_id: DeviceId) -> Stake:
        """What all devices but this one have at stake."""
        stakes = [stake for (quota, device), stake in self.stakes.items() if quota == key and device != device_id]
        return Stake(
            outstanding=sum((stake.outstanding for stake in stakes), _ZERO),
            reserved=sum((stake.reserved for stake in stakes), _ZERO),
        )

    def answer(self) -> None:
        """Raise ``UnavailableError`` for an answer that is lost."""
        if self.loses_answers:
            raise UnavailableError("the answer was lost")

    def _of(self, key: QuotaKey) -> Iterator[tuple[EventId, UsageTotal]]:
        first, end = key.window.start.date(), key.window.end.date()
        for event_id, total in self._events.items():
            if (total.tenant_id, total.meter) == (key.tenant_id, key.meter) and first <= total.day < end:
                yield event_id, total


class FakeQuotaLedger(Turns):
    """Implements ``ports.quotas.QuotaLedger`` for one device, on the ``book`` of all."""

    def __init__(self, book: QuotaBook, device_id: DeviceId) -> None:
        super().__init__()
        self._book = book
        self._device = device_id

    async def draw(
        self, rule: LimitRule, stake: Stake, *, needed: Decimal, wanted: Decimal, stream: StreamId | None
    ) -> Count:
        """Write down the stake, and draw."""
        await self._reach()
        book, key = self._book, rule.key
        word, others, used = book.words.get(key), book.others(key, self._device), book.used(key)
        limit = word.limit if word else Decimal(rule.limit)
        free = limit - used - others.outstanding - stake.outstanding
        reach = wanted if rule.soft or limit == UNLIMITED else min(free, wanted)
        taken = max(reach, _ZERO) if reach >= needed else _ZERO
        book.stakes[key, self._device] = replace(stake, outstanding=stake.outstanding + taken)
        count = Count(
            limit=limit,
            said=word is not None,
            used=used,
            outstanding=others.outstanding,
            reserved=others.reserved,
            taken=taken,
            drained_seq=book.drained_seq(stream),
        )
        await self._reach()
        book.answer()
        return count

    async def stakes(self, tenant_id: TenantId) -> Mapping[QuotaKey, Stake]:
        """What the device has written down."""
        await self._reach()
        known = self._book.stakes.items()
        return {key: stake for (key, device), stake in known if device == self._device and key.tenant_id == tenant_id}

    async def settled(self, key: QuotaKey) -> Decimal:
        """What the service can know of."""
        await self._reach()
        return self._book.settled(key)

    async def heard(self, rule: LimitRule, *, remaining: Decimal, settled: Decimal, said_at: datetime) -> None:
        """Its word, unless a newer one is known."""
        await self._reach()
        known = self._book.words.get(rule.key)
        if known is None or known.said_at < said_at:
            self._book.words[rule.key] = Word(remaining=remaining, settled=settled, said_at=said_at)
        self._book.answer()

    async def _reach(self) -> None:
        await self.wait()
        await self._book.wait()
