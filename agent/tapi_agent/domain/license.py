"""What a license is: subjects, evidence, the contract's durations, and a standing with its reason."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime

    from tapi_agent.domain.ids import CameraId, DeviceId, TenantId


class LicenseMode(StrEnum):
    """What was bought."""

    TRIAL = "trial"
    BASE = "base"
    ENTERPRISE = "enterprise"
    UNLICENSED = "unlicensed"
    EXPIRED = "expired"


class LicenseStatus(StrEnum):
    """How the subscription stands at the billing service."""

    ACTIVE = "active"
    GRACE_PERIOD = "grace_period"
    PAST_DUE = "past_due"
    SUSPENDED = "suspended"
    REVOKED = "revoked"
    EXPIRED = "expired"


class LicenseState(StrEnum):
    """What the agent concludes. Derived by ``evaluate``, never remembered."""

    VALID = "valid"
    OFFLINE = "offline"
    GRACE = "grace"
    EXPIRED = "expired"

    @property
    def severity(self) -> int:
        """0 for valid to 3 for expired: the device shows its worst camera."""
        return list(LicenseState).index(self)


class Reason(StrEnum):
    """Why a subject is in its state (the table of docs/license-states.md)."""

    OK = "OK"
    AUTHORITY_UNREACHABLE = "AUTHORITY_UNREACHABLE"
    AIR_GAPPED = "AIR_GAPPED"
    OFFLINE_OVERRUN = "OFFLINE_OVERRUN"
    LICENSE_LAPSED = "LICENSE_LAPSED"
    PAST_DUE = "PAST_DUE"
    OFFLINE_LIMIT = "OFFLINE_LIMIT"
    LICENSE_EXPIRED = "LICENSE_EXPIRED"
    NOT_YET_VALID = "NOT_YET_VALID"
    REVOKED = "REVOKED"
    SUSPENDED = "SUSPENDED"
    UNLICENSED = "UNLICENSED"
    NOT_VALID = "NOT_VALID"
    CAMERA_LIMIT = "CAMERA_LIMIT"
    NO_LICENSE = "NO_LICENSE"
    EVIDENCE_INVALID = "EVIDENCE_INVALID"
    KEY_UNKNOWN = "KEY_UNKNOWN"
    MACHINE_MISMATCH = "MACHINE_MISMATCH"


class Flag(StrEnum):
    """A remark beside a state; it changes nothing by itself."""

    EXPIRING = "EXPIRING"
    DATE_CONFLICT = "DATE_CONFLICT"
    BYPASSED = "BYPASSED"


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """Whom a license is held by; an empty ``camera_id`` is the tenant itself."""

    device_id: DeviceId
    tenant_id: TenantId
    camera_id: CameraId


@dataclass(frozen=True, slots=True, kw_only=True)
class Durations:
    """How long evidence keeps its force without contact and after its end (2-licensing)."""

    freshness: timedelta = timedelta(hours=1)
    offline_allowance: timedelta = timedelta(hours=24)
    offline_grace: timedelta = timedelta(days=7)
    license_grace: timedelta = timedelta(days=14)


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """The newest verified word of the billing service on one subject.

    ``verified_at`` is when the authority spoke (UTC, trusted time), ``valid_until`` the end of what was paid (``None``:
    no end), ``cameras_allowed`` ``None`` for unlimited, ``denied`` the reason when the word was a definite no,
    ``flags`` what was odd about the word when it came, ``key_id`` the trusted key that verified a signed word.
    """

    subject: Subject
    mode: LicenseMode
    status: LicenseStatus = LicenseStatus.ACTIVE
    verified_at: datetime
    not_before: datetime | None = None
    valid_until: datetime | None = None
    packs: tuple[str, ...] = ()
    cameras_allowed: int | None = None
    sequence: int = 0
    signed: bool = False
    denied: Reason | None = None
    durations: Durations = field(default_factory=Durations)
    flags: frozenset[Flag] = frozenset()
    key_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Contact:
    """What is known of the link to the authority, for one subject.

    ``lost``: the last attempt failed, or none has finished within the first-contact time, or the box is air-gapped.
    ``attempted``: an attempt has finished since boot, resume or clock change; until one has, ``lost_at`` is the
    instant from which silence counts as lost.
    """

    lost: bool = False
    attempted: bool = False
    air_gapped: bool = False
    lost_at: datetime | None = None

    def lost_by(self, at: datetime) -> bool:
        """Whether the link counts as lost at ``at``."""
        return self.lost or self.air_gapped or (self.lost_at is not None and at >= self.lost_at)


@dataclass(frozen=True, slots=True, kw_only=True)
class Camera:
    """A camera of this device and the last edge of its lifecycle.

    ``registered_at`` decides who keeps working when the license allows fewer cameras. A new camera starts as expired:
    nothing has been granted yet.
    """

    camera_id: CameraId
    registered_at: datetime
    since: datetime
    state: LicenseState = LicenseState.EXPIRED


@dataclass(frozen=True, slots=True, kw_only=True)
class Transition:
    """The next state that silence leads to: when, to which, why."""

    at: datetime
    to: LicenseState
    reason: Reason


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """The verdict on one subject at one instant; ``next_transition`` assumes silence, ``None`` when nothing comes."""

    state: LicenseState
    reason: Reason
    next_transition: Transition | None = None
    flags: frozenset[Flag] = frozenset()
