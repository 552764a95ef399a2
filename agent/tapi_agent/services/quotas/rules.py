"""Which meters have a quota, and what their rules come to for the tenant as it stands now."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tapi_agent.domain.license import LicenseMode
from tapi_agent.domain.quota import limit_of, window_at
from tapi_agent.ports.quotas import LimitRule, QuotaKey

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime

    from tapi_agent.domain.holder import Holder
    from tapi_agent.domain.ids import TenantId
    from tapi_agent.domain.quota import QuotaRule
    from tapi_agent.domain.usage import Meter


@dataclass(frozen=True, slots=True, kw_only=True)
class MeterRules:
    """The rules of one meter: the basic one, and those of packs that add to it."""

    unit: str
    basic: QuotaRule
    packs: tuple[QuotaRule, ...]


class Rules:
    """All quotas of ``tenant_id``; ``holder`` says what the tenant holds now."""

    def __init__(self, *, tenant_id: TenantId, holder: Callable[[], Holder]) -> None:
        self._tenant_id = tenant_id
        self._holder = holder
        self.meters: Mapping[str, MeterRules] = {}

    def apply(self, rules: Sequence[QuotaRule], meters: Mapping[str, Meter]) -> None:
        """From now on. A meter without a basic rule has no quota, nor has anybody without a tenant."""
        known = meters if self._tenant_id else {}
        basic = {rule.meter: rule for rule in rules if rule.pack is None and rule.meter in known}
        self.meters = {
            meter: MeterRules(
                unit=meters[meter].unit,
                basic=basic[meter],
                packs=tuple(rule for rule in rules if rule.meter == meter and rule.pack is not None),
            )
            for meter in sorted(basic)
        }

    def of(self, meter: str, now: datetime) -> LimitRule:
        """The quota that a use of the meter, one of ``meters``, at ``now`` (UTC) falls under."""
        rules = self.meters[meter]
        window = window_at(now, rules.basic.period)
        return LimitRule(
            key=QuotaKey(tenant_id=self._tenant_id, meter=meter, window=window),
            limit=self._limit(rules),
            soft=rules.basic.soft,
        )

    def _limit(self, rules: MeterRules) -> int:
        holder = self._holder()
        packs = holder.packs if holder.in_force else frozenset()
        return limit_of(rules.basic, rules.packs, trial=holder.mode is LicenseMode.TRIAL, packs=packs)
