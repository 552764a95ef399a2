"""What this month is expected to cost the tenant for the cameras of this box: for people, never for a decision."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tapi_agent.domain.features import Scope
from tapi_agent.domain.ids import TENANT
from tapi_agent.domain.license import LicenseMode
from tapi_agent.domain.pricing import estimate

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from tapi_agent.domain.holder import Holder
    from tapi_agent.domain.ids import CameraId
    from tapi_agent.domain.pricing import Estimate, PriceList
    from tapi_agent.services.entitlements import Entitlements
    from tapi_agent.services.quotas import QuotaStatus

_PAID = {LicenseMode.BASE, LicenseMode.ENTERPRISE}


class Costs:
    """Estimates by the price list; ``cameras`` are this box's, ``quotas`` the tenant's."""

    def __init__(
        self,
        *,
        prices: PriceList,
        entitlements: Entitlements,
        cameras: Callable[[], Sequence[CameraId]],
        quotas: Callable[[], Sequence[QuotaStatus]],
    ) -> None:
        self._prices = prices
        self._entitlements = entitlements
        self._cameras = cameras
        self._quotas = quotas

    def month(self) -> Estimate:
        """A month at today's subscriptions, and this month's overage so far. Trials cost nothing."""
        return estimate(
            self._prices,
            packs=[*self._own(), *sorted(self._shared())],
            overage={status.meter: status.overage for status in self._quotas()},
        )

    def _own(self) -> Iterator[str]:
        """Every pack of every camera, but for what is the tenant's."""
        for holder in self._paying():
            yield from (slug for slug in holder.packs if not self._is_shared(slug))

    def _shared(self) -> set[str]:
        """The tenant's packs, each once."""
        tenant = self._entitlements.holder(TENANT)
        everyone = [*self._paying(), *([tenant] if tenant.mode in _PAID and tenant.in_force else [])]
        return {slug for holder in everyone for slug in holder.packs if self._is_shared(slug)}

    def _paying(self) -> list[Holder]:
        holders = map(self._entitlements.holder, self._cameras())
        return [holder for holder in holders if holder.in_force and holder.mode in _PAID]

    def _is_shared(self, slug: str) -> bool:
        return self._entitlements.catalog.packs[slug].scope is Scope.TENANT
