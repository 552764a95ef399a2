"""What is asked of the quotas and what they answer."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from tapi_agent.domain.ids import TENANT

if TYPE_CHECKING:
    from datetime import datetime
    from decimal import Decimal

    from tapi_agent.domain.decision import QuotaFigures
    from tapi_agent.domain.ids import CameraId
    from tapi_agent.domain.quota import Period

DEFAULT_TTL: Final = timedelta(minutes=1)
LONGEST_TTL: Final = timedelta(minutes=10)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReserveRequest:
    """``amount`` (exact, above 0) of a meter, in its unit, to be kept back for at most ``ttl``."""

    meter: str
    amount: Decimal
    ttl: timedelta = DEFAULT_TTL
    camera_id: CameraId = TENANT


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """The amount is kept back until ``expires_at`` (UTC): to be committed or released under ``reservation_id``.

    ``overage``: a soft quota is spent, and some of this will be billed on top. ``quota`` is how it stands with this
    grant in it; ``None`` where nothing limits the meter.
    """

    reservation_id: str
    meter: str
    unit: str
    amount: Decimal
    reserved_at: datetime
    expires_at: datetime
    overage: bool
    quota: QuotaFigures | None


class DenialReason(StrEnum):
    """Why an amount was not granted."""

    QUOTA_EXCEEDED = "QUOTA_EXCEEDED"
    """Less is left of the period's quota than was asked for."""
    QUOTA_UNAVAILABLE = "QUOTA_UNAVAILABLE"
    """The counter in PostgreSQL gives no answer, and what this agent holds of the quota does not suffice."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Denial:
    """The amount was not granted: nothing was reserved. ``detail`` says why in words, ``fix`` what to do next.

    ``retryable``: the same request may succeed soon; otherwise not before ``quota.resets_at``, unless what others have
    reserved comes back.
    """

    meter: str
    unit: str
    amount: Decimal
    reason: DenialReason
    detail: str
    fix: str
    retryable: bool
    quota: QuotaFigures | None


class Source(StrEnum):
    """Whose word the limit is."""

    RULE = "rule"
    """The plugins' rules."""
    SERVICE = "service"
    """What the billing service last said is left in this period."""


@dataclass(frozen=True, slots=True, kw_only=True)
class QuotaStatus:
    """How one quota stands, in the meter's ``unit``, over all agents of the tenant.

    ``limit`` and ``remaining`` -1 are unlimited. ``reserved`` is in open reservations, ``held`` in this agent's hand;
    ``overage`` is what a soft quota was exceeded by. ``complete`` is false while PostgreSQL gives no answer: then the
    other agents' part is as it was when it last did.
    """

    meter: str
    unit: str
    period: Period
    limit: Decimal
    used: Decimal
    reserved: Decimal
    held: Decimal
    remaining: Decimal
    overage: Decimal
    soft: bool
    resets_at: datetime
    source: Source
    complete: bool
