"""The answer to "may I use this?", as a value: never a bare boolean, always with its reason.

Owns the words of an answer; how it is found is ``domain.entitlement``. A ``Decision`` is shared by all who hold the
same, an ``Answer`` is one camera's. What belongs to one request (when it was asked, its id) is added by the API.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime
    from decimal import Decimal

    from tapi_agent.domain.license import LicenseState, Reason, Transition
    from tapi_agent.domain.quota import Period


class DecisionReason(StrEnum):
    """Why a feature is allowed (the first four) or denied."""

    LICENSED = "LICENSED"
    TRIAL = "TRIAL"
    GRACE = "GRACE"
    KEPT = "KEPT"
    """Allowed although no license is in force: ``on_expired`` keep, or a basic component of an unlicensed device."""
    NOT_ENTITLED = "NOT_ENTITLED"
    EXPIRED = "EXPIRED"
    TIER_TOO_LOW = "TIER_TOO_LOW"
    MODE_TOO_LOW = "MODE_TOO_LOW"
    PACK_REQUIRED = "PACK_REQUIRED"
    CAMERA_LIMIT = "CAMERA_LIMIT"
    QUOTA_EXCEEDED = "QUOTA_EXCEEDED"
    FEATURE_UNKNOWN = "FEATURE_UNKNOWN"
    CAMERA_UNKNOWN = "CAMERA_UNKNOWN"

    @property
    def allows(self) -> bool:
        """Whether this reason stands for a permission."""
        return self in _ALLOWING


_ALLOWING = {DecisionReason.LICENSED, DecisionReason.TRIAL, DecisionReason.GRACE, DecisionReason.KEPT}


@dataclass(frozen=True, slots=True, kw_only=True)
class Freshness:
    """How old the evidence is: when the authority spoke, which tier it came from, whether a newer word is overdue."""

    verified_at: datetime | None = None
    tier: str | None = None
    stale: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class QuotaFigures:
    """What is left of a meter's quota in its period, in the meter's unit.

    ``limit`` and ``remaining`` -1 are unlimited; a ``soft`` quota bills the excess. ``resets_at`` is the end of the
    period, UTC.
    """

    limit: Decimal
    used: Decimal
    remaining: Decimal
    resets_at: datetime
    soft: bool
    period: Period

    @property
    def spent(self) -> bool:
        """Whether nothing is left of it."""
        return self.limit >= 0 and self.remaining <= 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """May ``feature`` be used, and why.

    ``license_reason`` is why the license is in ``state``. ``source_pack`` is the slug of the pack that allows it,
    ``None`` when it needs none. ``packs`` are slugs any one of which would turn the denial; ``warning`` comes with a
    permission that may end, ``fix`` with a denial. ``meter`` is what its use consumes, ``quota`` how that stands.
    """

    feature: str
    allowed: bool
    reason: DecisionReason
    state: LicenseState
    license_reason: Reason
    meter: str | None = None
    quota: QuotaFigures | None = None
    warning: str | None = None
    fix: str | None = None
    source_pack: str | None = None
    packs: tuple[str, ...] = ()

    @property
    def variant(self) -> str:
        """The reason in the spelling of feature-flag variants: ``licensed``, ``pack_required``."""
        return self.reason.lower()


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A decision as it holds for one camera, or the tenant: how old its evidence is, and what comes ``following``."""

    decision: Decision
    freshness: Freshness
    following: Transition | None
    generation: int

    @property
    def warning(self) -> str | None:
        """The decision's, with the end of a grace."""
        warning, following = self.decision.warning, self.following
        if warning is None or following is None or self.decision.reason is not DecisionReason.GRACE:
            return warning
        return f"{warning}, or it is {following.to} from {following.at:%Y-%m-%dT%H:%M:%SZ}"
