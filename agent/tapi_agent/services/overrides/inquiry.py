"""A round of asking the billing service about single features, a few at once; stops when there is no answer.

The same calls bring the service's words on quotas. Keeps nothing between rounds; what a word comes to is ``service``'s.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Final

import structlog

from tapi_agent.domain.errors import IntegrityError, RejectedError, TapiError, UnavailableError
from tapi_agent.domain.override import Override
from tapi_agent.services.connectivity import BILLING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from datetime import datetime

    from tapi_agent.domain.ids import TenantId
    from tapi_agent.ports.billing import BillingService
    from tapi_agent.ports.quotas import Asked, QuotaWords
    from tapi_agent.services.connectivity import Connectivity

log = structlog.get_logger(__name__)

_PARALLEL: Final = 4
_UNLIMITED: Final = Decimal("Infinity")


@dataclass(frozen=True, slots=True, kw_only=True)
class Remainder:
    """What the service has said is left of a quota, -1 for unlimited."""

    asked: Asked
    remaining: Decimal

    def tightness(self) -> Decimal:
        """The smaller the tighter."""
        return self.remaining if self.remaining >= 0 else _UNLIMITED


@dataclass(slots=True, kw_only=True)
class Findings:
    """What a round has brought: words by feature, ``unknown`` to the service, ``odd`` answers; quotas by meter.

    ``silence`` is why it stopped early: whatever is in none of the three was not answered.
    """

    words: dict[str, Override] = field(default_factory=dict)
    unknown: set[str] = field(default_factory=set)
    odd: dict[str, TapiError] = field(default_factory=dict)
    quotas: dict[str, Remainder] = field(default_factory=dict)
    silence: UnavailableError | None = None

    def answered(self) -> set[str]:
        """The features that need not be asked about again soon."""
        return {*self.words, *self.unknown, *self.odd}

    def refused(self, feature: str, error: RejectedError | IntegrityError) -> None:
        """404 is an answer: no word. Anything else is none, for this feature only."""
        if isinstance(error, RejectedError) and error.code == "not_found":
            self.unknown.add(feature)
        else:
            self.odd[feature] = error

    def left(self, found: Remainder) -> None:
        """Of several words on one meter the tightest counts: a service may limit one of its features only."""
        meter = found.asked.key.meter
        self.quotas[meter] = min(found, self.quotas.get(meter, found), key=Remainder.tightness)


class Inquiry:
    """Asks for one tenant; ``meter_of`` says which meter the use of a feature runs on."""

    def __init__(
        self,
        *,
        tenant_id: TenantId,
        billing: BillingService,
        connectivity: Connectivity,
        quotas: QuotaWords,
        meter_of: Callable[[str], str | None],
    ) -> None:
        self._tenant_id = tenant_id
        self._billing = billing
        self._connectivity = connectivity
        self._quotas = quotas
        self._meter_of = meter_of

    async def ask(self, features: Iterable[str], now: datetime) -> Findings:
        """Ask about these, at ``now`` (trusted time), until the service gives no answer."""
        found, todo = Findings(), iter(features)
        await asyncio.gather(*(self._work(todo, found, now) for _ in range(_PARALLEL)))
        if found.odd:
            feature, error = next(iter(found.odd.items()))
            log.warning("overrides.no_answer", features=len(found.odd), first=feature, error=str(error), fix=error.fix)
        return found

    async def license_stands(self) -> bool:
        """Whether the service does not say itself that the tenant's license is over."""
        try:
            report = await self._billing.license_report(self._tenant_id)
        except TapiError:
            return True
        return report is None or report.tenant.is_valid

    async def tell(self, found: Findings) -> None:
        """Pass on what is left of quotas. A round that stopped early may lack the tightest word: it says nothing."""
        for word in found.quotas.values() if found.silence is None else ():
            await self._quotas.told(word.asked, word.remaining)

    async def _work(self, todo: Iterator[str], found: Findings, now: datetime) -> None:
        while found.silence is None:
            feature = next(todo, None)
            if feature is None:
                return
            await self._ask(feature, found, now)

    async def _ask(self, feature: str, found: Findings, now: datetime) -> None:
        meter = self._meter_of(feature)
        asked = None if meter is None else await self._quotas.asking(meter)
        try:
            reply = await self._billing.feature(self._tenant_id, feature)
        except UnavailableError as error:
            found.silence = error
            self._connectivity.failed(BILLING, error)
            return
        except (RejectedError, IntegrityError) as error:
            found.refused(feature, error)
        else:
            found.words[feature] = Override(
                feature=feature, enabled=reply.is_enabled, asked_at=now, valid_until=reply.valid_until
            )
            if asked is not None and reply.quota_remaining is not None:
                found.left(Remainder(asked=asked, remaining=reply.quota_remaining))
        self._connectivity.succeeded(BILLING)
