"""One site's books: the fake, and PostgreSQL with its real ledger of usage."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from itertools import count
from typing import TYPE_CHECKING, Final
from uuid import UUID

import pytest

from tapi_agent.adapters.postgres.quotas import PostgresQuotaLedger
from tapi_agent.adapters.postgres.usage import PostgresLedger
from tapi_agent.domain.event_time import Moment
from tapi_agent.domain.ids import EPOCH, DeviceId, StreamId, TenantId
from tapi_agent.domain.quota import Period, window_at
from tapi_agent.domain.usage import Meter, SpooledEvent
from tapi_agent.domain.usage_draft import Intake, read_draft
from tapi_agent.ports.quotas import LimitRule, QuotaKey, Stake
from tapi_agent.testing.clock import START
from tapi_agent.testing.quotas import FakeQuotaLedger, QuotaBook

if TYPE_CHECKING:
    from tapi_agent.adapters.postgres.pool import Database
    from tapi_agent.ports.quotas import QuotaLedger

ACME: Final = TenantId("acme")
BOX, OTHER = DeviceId("box"), DeviceId("other")
STREAMS: Final = {BOX: StreamId(UUID(int=1)), OTHER: StreamId(UUID(int=2))}
MONTH: Final = QuotaKey(tenant_id=ACME, meter="llm_tokens", window=window_at(START, Period.MONTH))
RULE: Final = LimitRule(key=MONTH, limit=1000, soft=False)
METERS: Final = {key: Meter(key=key, unit="units") for key in ("llm_tokens", "api_call")}
_SET: Final = "UPDATE usage_events SET state = %(state)s, batch_id = event_id WHERE state IN ('pending', 'sealed')"


def stake(outstanding: int, reserved: int = 0) -> Stake:
    return Stake(outstanding=Decimal(outstanding), reserved=Decimal(reserved))


@dataclass(kw_only=True)
class Site:
    """The books as two devices see them."""

    book: QuotaBook
    database: Database | None
    _seqs: count[int] = field(default_factory=lambda: count(1))

    def ledger(self, device: DeviceId = BOX) -> QuotaLedger:
        if self.database:
            return PostgresQuotaLedger(database=self.database, device_id=device)
        return FakeQuotaLedger(self.book, device)

    async def use(self, *quantities: int, device: DeviceId = BOX, **fields: object) -> int:
        """Drain events of these quantities; returns the seq of the last."""
        intake = Intake(meters=METERS, device_id=device, default_tenant=ACME)
        events = []
        for quantity in quantities:
            seq = next(self._seqs)
            moment = Moment(now=START, latest=START, floor=EPOCH, entropy=seq.to_bytes(10, "big"))
            draft = {"event_type": "llm_tokens", "quantity": quantity} | fields
            text = read_draft(draft, intake, moment).canonical
            events.append(SpooledEvent(stream=STREAMS[device], seq=seq, canonical=text))
        keeper = PostgresLedger(database=self.database, device_id=device) if self.database else self.book
        await keeper.keep(events)
        return events[-1].seq

    async def deliver(self) -> None:
        """The service has all of it."""
        self.book.sync()
        await self._set("synced")

    async def seal(self) -> None:
        """What is pending is in a batch now, which the fake does not tell apart."""
        await self._set("sealed")

    async def _set(self, state: str) -> None:
        if self.database:
            async with self.database.connection() as connection:
                await connection.execute(_SET, {"state": state})


@pytest.fixture
def site(store_database: Database | None) -> Site:
    return Site(book=QuotaBook(), database=store_database)
