"""The billing service, as the agent speaks to it. Values here are wire facts; judging them is the domain's.

Every call but ``send_usage`` raises

* ``UnavailableError`` when there was no answer that holds for any subject: connect, TLS, timeout, 5xx, 429, 408, 425,
  401, 403, redirect, a reply that is not JSON (captive portal). ``retry_after`` carries the service's wish.
* ``RejectedError`` (code ``not_found`` for 404, else ``bad_request``) when it holds for this request only.
* ``IntegrityError`` when the reply is not of the contract's form (truncated, wrong types): no answer for this request.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from collections.abc import Set as AbstractSet
    from datetime import date, datetime, timedelta
    from decimal import Decimal
    from uuid import UUID

    from tapi_agent.domain.delivery import UsageReply, WireBatch
    from tapi_agent.domain.errors import IntegrityError
    from tapi_agent.domain.ids import CameraId, TenantId
    from tapi_agent.domain.license import LicenseMode, LicenseStatus, Subject


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What a question about a license says beside its subject, to a service that knows the extension.

    ``sequence`` is the newest known of the subject, ``wall`` and ``trusted`` this box's clocks, ``components`` the
    hashed marks of the machine. ``nonce`` (32 hexadecimal digits) asks for a lease that holds it.
    """

    sequence: int
    wall: datetime
    trusted: datetime
    components: Mapping[str, str]
    nonce: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LicenseReply:
    """The word on one subject, parsed. ``packs`` as the service named them; a year ≤ 1970 has become no date.

    ``lease`` is the text of a lease file, not yet looked at: it belongs in no log. ``raw`` is the JSON text as it came,
    but for the lease, for people; empty when it is too long to be kept.
    """

    is_valid: bool
    mode: LicenseMode
    packs: tuple[str, ...]
    valid_until: datetime | None
    cameras_allowed: int | None
    status: LicenseStatus | None = None
    sequence: int | None = None
    server_time: datetime | None = None
    lease: str = field(default="", repr=False)
    raw: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class LicenseReport:
    """GET /billing/license/{tenant}, parsed: the word on the tenant itself, and on its cameras, unsigned.

    A camera whose entry is not of the contract's form is in ``malformed``: no answer for this one. One that is in
    neither got no answer either.
    """

    tenant: LicenseReply
    cameras: Mapping[CameraId, LicenseReply]
    malformed: Mapping[CameraId, IntegrityError] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureReply:
    """POST /entitlements/check, parsed: the word on one feature of the whole tenant.

    ``quota_remaining`` is in the unit of the feature's meter, -1 for unlimited, ``None`` when it says nothing.
    """

    is_enabled: bool
    quota_remaining: Decimal | None = None
    valid_until: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class HeartbeatReply:
    """POST /heartbeat, parsed; the wish for the next one is not yet clamped."""

    next_heartbeat: timedelta | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchRecord:
    """GET /usage/batches/{id}: what the service has stored; results by event id (accepted, duplicate, rejected)."""

    batch_id: UUID
    results: Mapping[UUID, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class BilledTotal:
    """GET /usage/totals: how many events of a tenant's meter the service has of a UTC day, with their exact sum."""

    tenant_id: str
    meter: str
    day: date
    events: int
    quantity: Decimal


class BillingService(Protocol):
    """One remote billing service."""

    async def health(self) -> None:
        """GET /health: returns when the service answers ``healthy``."""
        ...

    async def validate(self, subject: Subject, question: Question) -> LicenseReply:
        """POST /licenses/validate for one camera, with the retries of 2-licensing (one try and three retries).

        A service that refuses the extension is asked without it, unless a lease is wanted: there is none without.
        """
        ...

    async def license_report(self, tenant_id: TenantId) -> LicenseReport | None:
        """GET /billing/license/{tenant}, all cameras in one call; ``None`` when the service does not offer it (404)."""
        ...

    async def feature(self, tenant_id: TenantId, feature: str) -> FeatureReply:
        """POST /entitlements/check for ``feature`` (``category.name``)."""
        ...

    async def heartbeat(self, *, tenant_id: TenantId, cameras: Sequence[CameraId], tier: str) -> HeartbeatReply:
        """POST /heartbeat."""
        ...

    async def send_usage(self, batch: WireBatch) -> UsageReply:
        """POST /usage/batch once, exactly ``batch.body`` under its key; failures are in the reply, never raised."""
        ...

    async def find_batch(self, batch_id: UUID) -> BatchRecord | None:
        """GET /usage/batches/{id}; ``None`` when the service never stored it (404)."""
        ...

    async def usage_sums(self, tenant_id: TenantId, *, start: datetime, end: datetime) -> Mapping[str, Decimal]:
        """GET /billing/usage/{tenant}: sums of quantity by reply field (``api_calls`` …), bounds inclusive."""
        ...

    async def usage_totals(self, *, start: datetime, end: datetime) -> Sequence[BilledTotal] | None:
        """GET /usage/totals: what was delivered under our key, bounds inclusive; ``None`` from a classic service."""
        ...

    async def look_up(self, event_ids: Sequence[UUID]) -> AbstractSet[UUID]:
        """POST /usage/lookup: which of up to 1000 events the service has."""
        ...
