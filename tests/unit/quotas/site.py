"""A site without a disk or a database: agents of one tenant on the fake books, at a time that tests move."""

from __future__ import annotations

import asyncio
import os
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final, cast

from tapi_agent.adapters.billing.absent import AbsentBilling
from tapi_agent.adapters.signing import DeviceKey
from tapi_agent.domain.holder import Holder
from tapi_agent.domain.ids import DeviceId, TenantId
from tapi_agent.domain.license import LicenseMode, LicenseState, Reason, Standing
from tapi_agent.domain.quota import Period, QuotaRule
from tapi_agent.domain.usage import Meter
from tapi_agent.services.connectivity import Connectivity
from tapi_agent.services.delivery.drainer import Drainer
from tapi_agent.services.metering import Metering
from tapi_agent.services.quotas import Denial, Grant, Quotas, ReserveRequest
from tapi_agent.testing.cache import FakeSharedCache
from tapi_agent.testing.clock import FakeClock
from tapi_agent.testing.quotas import FakeQuotaLedger, QuotaBook
from tapi_agent.testing.space import AlwaysRoom
from tapi_agent.testing.spool import Disk, MemorySpool

if TYPE_CHECKING:
    from datetime import datetime

    from tapi_agent.ports.usage import Ledger

ACME: Final = TenantId("acme")
TOKENS: Final = "llm_tokens"
CALLS: Final = "api_call"
METERS: Final = {
    TOKENS: Meter(key=TOKENS, unit="tokens"),
    CALLS: Meter(key=CALLS, unit="calls"),
    "sms_sent": Meter(key="sms_sent", unit="count"),
    "email_sent": Meter(key="email_sent", unit="count", enabled=False, switch="TRACK_EMAIL"),
}
RULES: Final = (
    QuotaRule(meter=TOKENS, limit=1000, trial_limit=200),
    QuotaRule(meter=TOKENS, limit=500, pack="intelligence"),
    QuotaRule(meter=CALLS, limit=100, soft=True, period=Period.DAY),
)
LICENSED: Final = Standing(state=LicenseState.VALID, reason=Reason.OK)
BASE: Final = Holder(standing=LICENSED, mode=LicenseMode.BASE)


class Trusted:
    """Trusted time as the wall clock of a machine that is moved by hand."""

    def __init__(self, machine: FakeClock) -> None:
        self._machine = machine

    def now(self) -> datetime:
        return self._machine.wall()

    def latest(self) -> datetime:
        return self._machine.wall()


class Agent:
    """One agent: its disk outlives it, and ``start`` is a new run on it."""

    def __init__(self, site: Site, name: str) -> None:
        self._site = site
        self.device = DeviceId(name)
        self.disk = Disk()
        self.holder = BASE
        self.key = DeviceKey(name.encode().ljust(32))
        self.cache = FakeSharedCache(site.machine)
        self.start()

    def start(self) -> None:
        self.spool = MemorySpool(self.disk)
        self.ledger = FakeQuotaLedger(self._site.book, self.device)
        clock = Trusted(self._site.machine)
        self.connectivity = Connectivity(clock=clock, billing=AbsentBilling())
        self.metering = Metering(
            admission=AlwaysRoom(),
            spool=self.spool,
            ledger=cast("Ledger", self._site.book),
            meters=METERS,
            clock=clock,
            device_id=self.device,
            default_tenant=ACME,
            entropy=os.urandom,
        )
        self.quotas = Quotas(
            tenant_id=ACME,
            holder=lambda: self.holder,
            metering=self.metering,
            spool=self.spool,
            ledger=self.ledger,
            cache=self.cache,
            seal=self.key,
            connectivity=self.connectivity,
            clock=clock,
            machine=self._site.machine,
            entropy=os.urandom,
        )
        self.quotas.apply(RULES, METERS)
        self.metering.on_recorded(self.quotas.recorded)

    async def reserve(self, amount: object, meter: str = TOKENS, **fields: Any) -> Grant | Denial:
        return await self.quotas.reserve(ReserveRequest(meter=meter, amount=Decimal(str(amount)), **fields))

    async def grant(self, amount: object, meter: str = TOKENS, **fields: Any) -> Grant:
        answer = await self.reserve(amount, meter, **fields)
        assert isinstance(answer, Grant), answer
        return answer

    async def refusal(self, amount: object, meter: str = TOKENS) -> Denial:
        answer = await self.reserve(amount, meter)
        assert isinstance(answer, Denial), answer
        return answer

    async def record(self, quantity: object, meter: str = TOKENS, **fields: object) -> None:
        await self.metering.record({"event_type": meter, "quantity": Decimal(str(quantity)), **fields})

    async def drain(self) -> None:
        await Drainer(spool=self.spool, ledger=cast("Ledger", self._site.book)).drain()

    def remaining(self, meter: str = TOKENS) -> Decimal:
        figures = self.quotas.figures(meter)
        assert figures is not None
        return figures.remaining

    async def hear(self, remaining: int, meter: str = TOKENS) -> None:
        asked = await self.quotas.asking(meter)
        assert asked is not None
        self._site.machine.advance(timedelta(milliseconds=1))
        await self.quotas.told(asked, Decimal(remaining))


@dataclass(kw_only=True)
class Site:
    """The books of a tenant, and time."""

    machine: FakeClock = field(default_factory=FakeClock)
    book: QuotaBook = field(default_factory=QuotaBook)

    def agent(self, name: str = "box") -> Agent:
        return Agent(self, name)

    def staked(self, agent: Agent, meter: str = TOKENS) -> Decimal:
        """What the agent has written down as outstanding, over all periods."""
        return sum(
            (
                stake.outstanding
                for (key, device), stake in self.book.stakes.items()
                if device == agent.device and key.meter == meter
            ),
            Decimal(0),
        )

    async def later(self, seconds: float, *agents: Agent) -> None:
        """Time passes, and each of these agents has a look."""
        self.machine.advance(timedelta(seconds=seconds))
        for agent in agents:
            await agent.quotas.look()


async def ended(*tasks: asyncio.Task[Any]) -> None:
    """Cancelled, and waited for."""
    for task in tasks:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
