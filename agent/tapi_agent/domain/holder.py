"""What one camera, or the tenant, holds: the part of its license that decides about features. Pure.

Owns what evidence amounts to in packs and tiers, and how far a pack reaches. The decision itself is
``domain.entitlement``; ``services.entitlements`` makes the holders.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from tapi_agent.domain.decision import Freshness
from tapi_agent.domain.features import Scope
from tapi_agent.domain.license import LicenseMode, LicenseState, Reason, Standing

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tapi_agent.domain.catalog import Catalog
    from tapi_agent.domain.features import Tier
    from tapi_agent.domain.license import Evidence

NEVER = datetime.max.replace(tzinfo=UTC)
_BASE_PACK = "base"
_LICENSES = (LicenseMode.TRIAL, LicenseMode.BASE, LicenseMode.ENTERPRISE)
_UNHEARD = {Reason.AUTHORITY_UNREACHABLE, Reason.AIR_GAPPED, Reason.OFFLINE_OVERRUN, Reason.OFFLINE_LIMIT}


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """All that a decision depends on, for one camera or the tenant, up to but without ``until`` (UTC).

    Cameras that hold the same are equal and share their decisions. ``packs`` are slugs of the catalog, those of the
    mode included; ``tier`` is what the mode maps to; ``known`` is False for a camera this device has never seen.
    """

    standing: Standing = field(default=Standing(state=LicenseState.EXPIRED, reason=Reason.NO_LICENSE))
    mode: LicenseMode | None = None
    tier: Tier | None = None
    packs: frozenset[str] = frozenset()
    known: bool = True
    until: datetime = NEVER
    freshness: Freshness = field(default_factory=Freshness)

    @property
    def in_force(self) -> bool:
        """Whether a license stands behind it."""
        return self.standing.state is not LicenseState.EXPIRED

    def timeless(self) -> Holder:
        """Without when it was heard and how long it lasts: those who are equal then are decided about alike."""
        standing = replace(self.standing, next_transition=None)
        return replace(self, standing=standing, until=NEVER, freshness=Freshness())

    def packless(self) -> Holder:
        """Without its packs: what is left of a decision when it is known which pack brings the feature."""
        return replace(self, packs=frozenset())

    def sharing(self, tenant: Holder, catalog: Catalog) -> Holder:
        """With what was sold to the tenant as a whole, while that license lasts. A camera's packs are its own."""
        shared = {slug for slug in tenant.packs if catalog.packs[slug].scope is Scope.TENANT}
        if not tenant.in_force or shared <= self.packs:
            return self
        return replace(self, packs=self.packs | shared, until=min(self.until, tenant.until))


def holder_of(
    evidence: Evidence | None,
    standing: Standing,
    *,
    source: str | None = None,
    catalog: Catalog,
    tiers: Mapping[LicenseMode, Tier],
) -> Holder:
    """What somebody holds who stands so on this evidence; ``source`` names the evidence tier it came from."""
    until = standing.next_transition.at if standing.next_transition else NEVER
    if evidence is None:
        return Holder(standing=standing, until=until)
    mode = _in_force(evidence.mode)
    packs, _unknown = catalog.resolve((*evidence.packs, _BASE_PACK) if mode in _LICENSES else evidence.packs)
    overdue = standing.reason in _UNHEARD
    return Holder(
        standing=standing,
        mode=mode,
        tier=tiers.get(mode),
        packs=packs,
        until=until,
        freshness=Freshness(verified_at=evidence.verified_at, tier=source, stale=overdue),
    )


def common(holders: Sequence[Holder], catalog: Catalog) -> Holder:
    """What all of them, one or more, hold: it stands for the tenant while nothing is known of the tenant itself."""
    worst = max(holders, key=lambda holder: holder.standing.state.severity)
    least = min(holders, key=lambda holder: mode_rank(holder.mode))
    together = replace(
        worst,
        mode=least.mode,
        tier=least.tier,
        packs=frozenset.intersection(*(holder.packs for holder in holders)),
        until=min(holder.until for holder in holders),
    )
    for holder in holders:
        together = together.sharing(holder, catalog)
    return together


def mode_rank(mode: LicenseMode | None) -> int:
    """-1 for what is no license, then trial, base, enterprise."""
    return _LICENSES.index(mode) if mode in _LICENSES else -1


def _in_force(mode: LicenseMode) -> LicenseMode:
    """A lapsed license in its grace no longer says what it was: what base had goes on."""
    return LicenseMode.BASE if mode is LicenseMode.EXPIRED else mode
