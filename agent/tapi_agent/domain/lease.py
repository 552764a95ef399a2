"""A signed lease: what a genuine lease file says, and the evidence that it is for this box. Pure.

Owns the meaning of a lease's fields. Does not know the file's form nor its signature (``adapters.leases`` has parsed,
verified and decrypted it), nor whether this is the machine it was made for (``domain.binding``). Called by
``services.licensing``.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from tapi_agent.domain.errors import IntegrityError
from tapi_agent.domain.evidence import denial, normalized
from tapi_agent.domain.ids import TENANT
from tapi_agent.domain.license import Durations, Evidence, LicenseMode, LicenseStatus, Reason

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tapi_agent.domain.ids import CameraId, DeviceId, TenantId
    from tapi_agent.domain.license import Subject

LEASE_TERM: Final = timedelta(days=30)
"""Full function without contact, where the lease does not say when it ends."""
_DEFAULTS: Final = Durations()
_END_OF_TIME: Final = datetime(9000, 1, 1, tzinfo=UTC)


class LeaseKind(StrEnum):
    """Which armor a lease file wears, and so what its signature begins with."""

    MACHINE = "machine"
    LICENSE = "license"


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """The contents of one genuine lease file.

    ``key_id`` names the trusted key that verified it. ``tenant_id`` and ``device_id`` are ``None`` where the file names
    none. ``expiry`` is the end of full function without contact (``None``: no end), ``valid_until`` the end of what was
    paid. ``components`` are hashed marks of the machine by name (``domain.binding``). Durations that the file leaves
    out have the contract's defaults.
    """

    kind: LeaseKind
    key_id: str
    issued: datetime
    expiry: datetime | None
    tenant_id: TenantId | None = None
    camera_id: CameraId = TENANT
    device_id: DeviceId | None = None
    mode: LicenseMode = LicenseMode.BASE
    status: LicenseStatus = LicenseStatus.ACTIVE
    not_before: datetime | None = None
    valid_until: datetime | None = None
    packs: tuple[str, ...] = ()
    cameras_allowed: int | None = None
    sequence: int = 0
    nonce: str | None = None
    reset_clock: bool = False
    freshness: timedelta = _DEFAULTS.freshness
    offline_grace: timedelta = _DEFAULTS.offline_grace
    license_grace: timedelta = _DEFAULTS.license_grace
    components: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_valid(self) -> bool:
        """A lease says no by its mode or status only."""
        return True


class LeaseRefusedError(IntegrityError):
    """A lease that is not genuine or not for this box: no word at all. ``reason`` is one of row 1 of the table."""

    def __init__(self, message: str, *, reason: Reason, fix: str = "") -> None:
        super().__init__(message, fix=fix)
        self.reason = reason


def evidence_of(lease: Lease, *, tenant: Subject, max_offline: timedelta | None = None) -> Evidence:
    """What a lease amounts to on the box of ``tenant``; ``max_offline`` is LEASE_MAX_OFFLINE_HOURS.

    The authority spoke at ``issued``, so a denial is judged by that instant; the same file gives the same evidence
    whenever it is read.
    """
    until = normalized(lease.valid_until)
    return Evidence(
        subject=replace(tenant, camera_id=lease.camera_id),
        mode=lease.mode,
        status=lease.status,
        verified_at=lease.issued,
        not_before=normalized(lease.not_before),
        valid_until=until,
        packs=lease.packs,
        cameras_allowed=lease.cameras_allowed,
        sequence=lease.sequence,
        signed=True,
        denied=denial(lease, until, lease.issued),
        durations=_durations(lease, max_offline),
        key_id=lease.key_id,
    )


def _durations(lease: Lease, max_offline: timedelta | None) -> Durations:
    allowance = max(timedelta(0), (lease.expiry or _END_OF_TIME) - lease.issued)
    return Durations(
        freshness=lease.freshness,
        offline_allowance=allowance if max_offline is None else min(allowance, max_offline),
        offline_grace=lease.offline_grace,
        license_grace=lease.license_grace,
    )
