"""The service of single words with everything around it in memory, in virtual time where it runs by itself."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from tapi_agent.domain.ids import TenantId
from tapi_agent.domain.quota import Period, Window
from tapi_agent.ports.billing import FeatureReply
from tapi_agent.ports.quotas import Asked, QuotaKey
from tapi_agent.services.connectivity import Connectivity
from tapi_agent.services.overrides import Overrides
from tapi_agent.testing.billing import FakeBilling

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Coroutine

    from tapi_agent.domain.override import Override

T = datetime(2027, 3, 1, 12, tzinfo=UTC)
FRESH = timedelta(minutes=5)
TENANT = TenantId("acme")
MARCH = Window(period=Period.MONTH, start=datetime(2027, 3, 1, tzinfo=UTC), end=datetime(2027, 4, 1, tzinfo=UTC))
YES, NO = FeatureReply(is_enabled=True), FeatureReply(is_enabled=False)


class VirtualLoop(asyncio.SelectorEventLoop):
    """A loop on which no time is waited for: when nothing is ready, its clock jumps to the next timer."""

    _jumped = 0.0

    def time(self) -> float:
        return super().time() + self._jumped

    def _run_once(self) -> None:
        if not self._ready and self._scheduled:  # type: ignore[attr-defined]
            self._jumped += max(0.0, self._scheduled[0].when() - self.time())  # type: ignore[attr-defined]
        super()._run_once()  # type: ignore[misc]


def in_virtual_time(main: Coroutine[Any, Any, None]) -> None:
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.run(main)


class TrustedNow:
    """Implements ``ports.clock.TrustedClock``; goes with the loop's time, or stands still until it is moved."""

    def __init__(self, *, goes: bool = False) -> None:
        self.at = T
        self._began = asyncio.get_running_loop().time() if goes else None

    def now(self) -> datetime:
        if self._began is None:
            return self.at
        return self.at + timedelta(seconds=asyncio.get_running_loop().time() - self._began)


@dataclass
class MemoryOverrides:
    """Implements ``ports.overrides.OverrideStore``."""

    kept: list[Override] = field(default_factory=list)
    saves: int = 0

    async def load(self) -> list[Override]:
        return self.kept

    async def save(self, words: Collection[Override]) -> None:
        self.saves += 1
        self.kept = list(words)


@dataclass
class QuotaNotes:
    """Implements ``ports.quotas.QuotaWords``: ``heard`` is what was told, ``order`` who was asked when."""

    order: list[str]
    heard: list[tuple[str, Decimal]] = field(default_factory=list)
    meaningless: set[str] = field(default_factory=set)

    async def asking(self, meter: str) -> Asked | None:
        self.order.append(f"asking {meter}")
        if meter in self.meaningless:
            return None
        return Asked(key=QuotaKey(tenant_id=TENANT, meter=meter, window=MARCH), settled=Decimal(7), at=T)

    async def told(self, asked: Asked, remaining: Decimal) -> None:
        self.order.append(f"told {asked.key.meter}")
        self.heard.append((asked.key.meter, remaining))


@dataclass(kw_only=True)
class Desk:
    """``boot`` starts a new process on what was kept."""

    clock: TrustedNow
    billing: FakeBilling = field(default_factory=FakeBilling)
    store: MemoryOverrides = field(default_factory=MemoryOverrides)
    meters: dict[str, str] = field(default_factory=dict)
    in_force: Callable[[], bool] = lambda: True
    asks: bool = True
    entropy: Callable[[int], bytes] = bytes

    def __post_init__(self) -> None:
        self.quotas = QuotaNotes(self.billing.features_asked)
        self.connectivity = Connectivity(clock=self.clock, billing=self.billing)

    async def boot(self, *features: str) -> Overrides:
        overrides = Overrides(
            asks=self.asks,
            tenant_id=TENANT,
            billing=self.billing,
            connectivity=self.connectivity,
            clock=self.clock,
            store=self.store,
            quotas=self.quotas,
            in_force=self._in_force,
            meter_of=self.meters.get,
            fresh=FRESH,
            entropy=self.entropy,
        )
        await overrides.start()
        for feature in features:
            overrides.interested(feature)
        return overrides

    def _in_force(self) -> bool:
        return self.in_force()

    def asked(self) -> list[str]:
        """What the service was asked about since the last look."""
        found = self.billing.features_asked[:]
        self.billing.features_asked.clear()
        return found


@pytest.fixture
async def desk() -> Desk:
    """At noon, and time stands still."""
    return Desk(clock=TrustedNow())
