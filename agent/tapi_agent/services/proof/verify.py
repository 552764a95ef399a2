"""``usage verify``: the equation of every account, and every row and batch by itself. Reads, and changes nothing."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from tapi_agent.domain.errors import UnavailableError
from tapi_agent.domain.proof import NOTHING, Account, Amount, Fate, Fault, Finding, Line
from tapi_agent.domain.tally import take_away, tally

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from datetime import date

    from tapi_agent.domain.ids import BatchId, StreamId
    from tapi_agent.domain.proof import KeptEvent
    from tapi_agent.domain.usage import UsageTotal
    from tapi_agent.ports.proof import Counted, ProofStore, Snapshot
    from tapi_agent.ports.spool import Spool, SpoolAccount

_TRIES: Final = 50
"""To meet the spool between two steps of the drainer."""
_BATCHES: Final = 50
_MOST_FINDINGS: Final = 1000
"""Of one answer. Where more is wrong, more of the same says nothing new."""

Fates = dict[Account, dict[Fate, Amount]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outline:
    """What there is to verify, day by day, and what is wrong with the whole."""

    stream: StreamId
    days: Sequence[date]
    findings: Sequence[Finding]


@dataclass(frozen=True, slots=True, kw_only=True)
class DayProof:
    """One day: its equations, how many rows were looked at, what is wrong."""

    day: date
    rows: int
    lines: Sequence[Line]
    findings: Sequence[Finding]


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchProof:
    """Some batches: how many were looked at, what is wrong, and the last of them (``None``: there is none left)."""

    batches: int
    findings: Sequence[Finding]
    last: BatchId | None


class Verification:
    """Holds spool and database against each other."""

    def __init__(self, *, spool: Spool, store: ProofStore) -> None:
        self._spool = spool
        self._store = store
        self._one_at_a_time = asyncio.Lock()

    async def outline(self) -> Outline:
        """What there is to verify. Raises ``UnavailableError`` of either store."""
        account = await self._spool.account()
        known = {total.day for total in account.accepted} | set(await self._store.days())
        return Outline(stream=account.stream, days=sorted(known), findings=await self._store.structure())

    async def day(self, day: date) -> DayProof:
        """One day, at one instant. Raises ``UnavailableError`` of either store, or when they cannot be met at rest."""
        async with self._one_at_a_time:
            for _ in range(_TRIES):
                account = await self._spool.account()
                async with self._store.day(day) as snapshot:
                    if await snapshot.drained_seq(account.stream) == account.drained_seq:
                        return await self._prove(day, account, snapshot)
        raise UnavailableError("the spool is drained faster than it can be compared", fix="verify again in a moment")

    async def _prove(self, day: date, account: SpoolAccount, snapshot: Snapshot) -> DayProof:
        fates: Fates = {}
        arrived = await _arrivals(snapshot, day, fates)
        findings = list(_totals(await snapshot.totals()))
        rows = 0
        async for events in snapshot.events():
            rows += len(events)
            # In a thread: a thousand texts are read, and the event loop has others to serve.
            findings += await asyncio.to_thread(_look_at, events, fates)
            del findings[_MOST_FINDINGS:]
        accepted = _spooled(account, day, fates)
        # The spool may drop its sums of days that nothing can be recorded for any more.
        live = account.stream if day >= self._spool.dedupe_floor.date() else None
        lines = _lines(accepted, arrived, fates, live)
        unequal = [finding for line in lines for finding in line.findings()]
        return DayProof(day=day, rows=rows, lines=lines, findings=[*unequal, *findings][:_MOST_FINDINGS])

    async def batches(self, *, after: BatchId | None) -> BatchProof:
        """The next batches in order of their ids."""
        batches = await self._store.batches(after=after, limit=_BATCHES)
        found = await asyncio.to_thread(lambda: [finding for batch in batches for finding in batch.findings()])
        last = batches[-1].batch_id if len(batches) == _BATCHES else None
        return BatchProof(batches=len(batches), findings=found, last=last)


async def _arrivals(snapshot: Snapshot, day: date, fates: Fates) -> Mapping[Account, Amount]:
    """What arrived; what of it is in no row of usage_events is added to the fates."""
    arrivals = await snapshot.arrivals()
    for arrival in arrivals:
        _count(fates, arrival.account, Fate.FORGOTTEN, arrival.forgotten)
        _count(fates, arrival.account, Fate.LOST, arrival.lost)
    for account, amount in (await snapshot.duplicates()).items():
        _count(fates, account, Fate.DUPLICATE, amount)
    for stream, text in await snapshot.unborn():
        for account, amount in _unborn(stream, text, day):
            _count(fates, account, Fate.DEAD, amount)
    return {arrival.account: arrival.arrived for arrival in arrivals}


def _look_at(events: Sequence[KeptEvent], fates: Fates) -> list[Finding]:
    for event in events:
        _count(fates, event.account, event.fate, Amount(1, event.quantity))
    return [finding for event in events for finding in event.findings()]


def _count(fates: Fates, account: Account, fate: Fate, amount: Amount) -> None:
    if amount != NOTHING:
        own = fates.setdefault(account, {})
        own[fate] = own.get(fate, NOTHING) + amount


def _unborn(stream: StreamId, text: str, day: date) -> Iterator[tuple[Account, Amount]]:
    try:
        totals = tally([text])
    except (ValueError, TypeError, ArithmeticError, LookupError):
        return
    yield from _amounts(stream, (total for total in totals if total.day == day))


def _spooled(account: SpoolAccount, day: date, fates: Fates) -> Mapping[Account, Amount]:
    """What the live stream has accepted; what of it waits is added to the fates."""
    ours = [total for total in account.accepted if total.day == day]
    drained = [total for total in account.drained if total.day == day]
    for whose, amount in _amounts(account.stream, take_away(ours, drained)):
        _count(fates, whose, Fate.SPOOLED, amount)
    return dict(_amounts(account.stream, ours))


def _amounts(stream: StreamId, totals: Iterable[UsageTotal]) -> Iterator[tuple[Account, Amount]]:
    for total in totals:
        whose = Account(stream=stream, tenant_id=total.tenant_id, meter=total.meter, unit=total.unit, day=total.day)
        yield whose, Amount(total.events, total.quantity) + Amount(total.local_events, total.local_quantity)


def _lines(
    accepted: Mapping[Account, Amount], arrived: Mapping[Account, Amount], fates: Fates, live: StreamId | None
) -> list[Line]:
    """Of a stream whose spool is gone, what arrived is all that is known to have been accepted."""
    return [
        Line(
            account=account,
            accepted=accepted.get(account, NOTHING if account.stream == live else arrived.get(account, NOTHING)),
            arrived=arrived.get(account, NOTHING),
            fates=fates.get(account, {}),
        )
        for account in sorted({*accepted, *arrived, *fates}, key=str)
    ]


def _totals(counted: Iterable[Counted]) -> Iterator[Finding]:
    for one in counted:
        may_differ = one.incomplete and one.counted.events > one.rows.events
        if one.counted != one.rows and not may_differ:
            detail = f"usage_totals has {one.counted}, the rows are {one.rows}"
            yield Finding(fault=Fault.TOTAL_DIFFERS, subject=one.subject, detail=detail)
