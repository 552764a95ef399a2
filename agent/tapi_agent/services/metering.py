"""Recording usage: an event is checked, gets its id, and is durable in the spool before anyone is told.

Works without PostgreSQL, without Redis and in every license state. What becomes of the events is ``delivery``'s. Called
by the API, the ASGI middleware and the plugins that sample.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Final

from tapi_agent.domain.errors import InvalidInputError, UnavailableError
from tapi_agent.domain.event_time import Moment
from tapi_agent.domain.ids import EPOCH
from tapi_agent.domain.tally import add_up
from tapi_agent.domain.usage_draft import Intake, read_draft

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from datetime import date

    from tapi_agent.domain.ids import DeviceId, EventId, TenantId
    from tapi_agent.domain.usage import Meter, UsageEvent, UsageTotal
    from tapi_agent.ports.clock import EventClock
    from tapi_agent.ports.space import Admission
    from tapi_agent.ports.spool import Spool
    from tapi_agent.ports.usage import Ledger, Totals

_Instant = tuple[datetime, datetime, datetime]
"""Now, the latest it may be, and the oldest that is kept; one for all events of a list."""
_ENTROPY: Final = 10
_IDS_AT_ONCE: Final = 256
_MORE_LOOKS: Final = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """An acknowledged event: durable as seq ``seq`` of this agent's stream. A repeat of an event has the same id."""

    event_id: EventId
    seq: int


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageSummary:
    """What was counted, by tenant, meter and UTC day of event_time: the database's totals and what is still spooled.

    ``complete`` is false while PostgreSQL gives no answer: then only what still waits in the spool is in it.
    """

    rows: Sequence[UsageTotal]
    spooled: int
    complete: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asked:
    """Which totals a summary is to show."""

    tenant_id: TenantId | None
    since: date | None
    until: date | None

    def wants(self, total: UsageTotal) -> bool:
        return (
            (self.tenant_id is None or total.tenant_id == self.tenant_id)
            and (self.since is None or total.day >= self.since)
            and (self.until is None or total.day <= self.until)
        )


class Metering:
    """Records usage of the given ``meters``; ``default_tenant`` stands in for events that name none."""

    def __init__(  # noqa: PLR0913 - all by name
        self,
        *,
        spool: Spool,
        admission: Admission,
        ledger: Ledger,
        meters: Mapping[str, Meter],
        clock: EventClock,
        device_id: DeviceId,
        default_tenant: TenantId | None,
        entropy: Callable[[int], bytes],
    ) -> None:
        self._spool = spool
        self._admission = admission
        self._ledger = ledger
        self._intake = Intake(meters=meters, device_id=device_id, default_tenant=default_tenant)
        self._clock = clock
        self._random = _ids_worth(entropy)
        self._newest: datetime | None = None

    def adopt(self, meters: Mapping[str, Meter]) -> None:
        """Take usage of these meters from now on: plugins were added."""
        self._intake = replace(self._intake, meters=meters)

    def on_recorded(self, listener: Callable[[Sequence[UsageEvent]], None]) -> None:
        """Tell ``listener`` of all events from now on, as soon as they are durable (``ports.spool.Spool.on_kept``)."""
        self._spool.on_kept(listener)

    async def record(self, draft: object) -> Recorded:
        """Record one event; it is durable when this returns.

        Raises ``InvalidInputError`` naming the field that is wrong, ``NoSpaceError`` when the disk is full,
        ``UnavailableError`` when it takes nothing.
        """
        event = self.preview(draft)
        (seq,) = await self._keep([event])
        return Recorded(event_id=event.event_id, seq=seq)

    def preview(self, draft: object) -> UsageEvent:
        """What ``record`` would make of a draft now; nothing is recorded. Raises ``InvalidInputError`` likewise."""
        return self._drafted(draft, self._instant())

    async def record_many(self, drafts: Sequence[object]) -> Sequence[Recorded | InvalidInputError]:
        """Record a list: for each draft, in order, what ``record`` would have returned or why it is refused.

        The good ones are kept, all together or, with ``UnavailableError``, none.
        """
        instant = self._instant()
        readings = [self._read(draft, instant) for draft in drafts]
        events = [reading for reading in readings if not isinstance(reading, InvalidInputError)]
        seqs = iter(await self._keep(events) if events else ())
        return [
            reading if isinstance(reading, InvalidInputError) else Recorded(event_id=reading.event_id, seq=next(seqs))
            for reading in readings
        ]

    async def _keep(self, events: Sequence[UsageEvent]) -> Sequence[int]:
        """Spool them if there is room; what is refused for want of it is counted."""
        if not self._admission.is_open:
            await self._admission.admit(events)
        try:
            return await self._spool.append(events)
        except UnavailableError as error:
            self._admission.refused(events, error)
            raise

    async def summary(
        self, tenant_id: TenantId | None = None, *, since: date | None = None, until: date | None = None
    ) -> UsageSummary:
        """What was counted, of one tenant or all, from day ``since`` to day ``until``, both included.

        Ledger and spool are looked at one after the other; if events have moved between the two looks, once more.
        """
        return await self._look(_Asked(tenant_id=tenant_id, since=since, until=until), more=_MORE_LOOKS)

    async def _look(self, asked: _Asked, *, more: int) -> UsageSummary:
        counted = await self._counted(asked)
        drained_seq = counted.drained_seq if counted else 0
        waiting = filter(asked.wants, await self._spool.totals(after=drained_seq))
        if counted and more and self._spool.drained_seq > drained_seq:
            return await self._look(asked, more=more - 1)
        rows = add_up(counted.totals if counted else (), waiting)
        return UsageSummary(rows=rows, spooled=self._spool.depth, complete=counted is not None)

    async def _counted(self, asked: _Asked) -> Totals | None:
        """What the database has; ``None`` while it gives no answer."""
        try:
            return await self._ledger.totals(
                self._spool.stream, tenant_id=asked.tenant_id, since=asked.since, until=asked.until
            )
        except UnavailableError:
            return None

    def _read(self, draft: object, instant: _Instant) -> UsageEvent | InvalidInputError:
        try:
            return self._drafted(draft, instant)
        except InvalidInputError as error:
            return error

    def _drafted(self, draft: object, instant: _Instant) -> UsageEvent:
        return read_draft(draft, self._intake, Moment(*instant, next(self._random)))

    def _instant(self) -> _Instant:
        """Now, but never before an id that has been given, in this run or an earlier one."""
        self._newest = max(self._clock.now(), self._newest or self._spool.newest or EPOCH)
        return self._newest, self._clock.latest(), self._spool.dedupe_floor


def _ids_worth(entropy: Callable[[int], bytes]) -> Iterator[bytes]:
    """Randomness for one id after the other, drawn for many: a busy loop loses its turn with each system call."""
    while True:
        drawn = entropy(_ENTROPY * _IDS_AT_ONCE)
        yield from (drawn[start : start + _ENTROPY] for start in range(0, len(drawn), _ENTROPY))
