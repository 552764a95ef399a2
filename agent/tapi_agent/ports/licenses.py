"""Where evidence is kept and where edges are written down. What is stored is evidence, never a verdict.

The text of signed evidence is its lease file; that of classic evidence is sealed by this device.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from tapi_agent.domain.events import LicenseChanged
    from tapi_agent.domain.ids import CameraId
    from tapi_agent.domain.license import Camera, Evidence, Subject


class EvidenceSealer(Protocol):
    """Binds evidence to this device so that a stored copy can be verified on every load."""

    def seal(self, evidence: Evidence) -> str:
        """Evidence as canonical JSON with a keyed digest."""
        ...

    def unseal(self, sealed: str) -> Evidence:
        """The evidence; raises ``IntegrityError`` when digest or form is wrong."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class SealedEvidence:
    """Evidence on its way into a tier; ``raw`` is the reply it was made of, as it came, while it is still at hand.

    ``sealed`` is the text to be kept: a lease file, or what the sealer made of classic evidence.
    """

    evidence: Evidence
    sealed: str
    raw: str = ""


class EvidenceTier(Protocol):
    """One place that keeps evidence by subject: the local file, Redis, PostgreSQL. Down is ``UnavailableError``."""

    @property
    def name(self) -> str:
        """What the tier is called in answers and logs."""
        ...

    async def load(self, subject: Subject) -> str | None:
        """The text kept on a subject; ``None`` is a miss."""
        ...

    async def load_all(self) -> Mapping[Subject, str]:
        """All texts of this tier. ``IntegrityError`` when it was damaged as a whole, and is empty from now on."""
        ...

    async def save(self, evidence: Evidence, sealed: str) -> None:
        """Keep it in place of older evidence of the same subject."""
        ...


@runtime_checkable
class BulkTier(EvidenceTier, Protocol):
    """A tier that takes evidence on many subjects in one go: hundreds of cameras cost one round trip."""

    async def save_many(self, words: Sequence[SealedEvidence]) -> None:
        """Keep all of it, or none, as ``save`` does; one word a subject."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenRequest:
    """The request file whose answer is awaited: until then, only leases that hold its ``nonce`` may be imported."""

    nonce: str
    made_at: datetime


class RequestStore(Protocol):
    """Keeps the open request across restarts."""

    async def load(self) -> OpenRequest | None:
        """The open request, if there is one. ``IntegrityError`` when it fails verification, ``UnavailableError``."""
        ...

    async def save(self, request: OpenRequest) -> None:
        """Keep it durably in place of the one before; ``UnavailableError`` when that fails."""
        ...

    async def clear(self) -> None:
        """None is open any more; ``UnavailableError`` when that cannot be kept."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Roll:
    """The cameras of this device, where each stands, and the edges to there that the log may not have yet."""

    cameras: Sequence[Camera]
    edges: Sequence[LicenseChanged] = ()


class Roster(Protocol):
    """The roll of this device, kept locally, always as a whole."""

    async def load(self) -> Roll | None:
        """What was kept; ``None`` when there is no roster yet. ``UnavailableError`` when it cannot be read."""
        ...

    async def save(self, roll: Roll) -> None:
        """Keep this in place of what was kept; ``UnavailableError`` when that fails."""
        ...


class LicenseLog(Protocol):
    """license_validation_log: every edge, before it is published. Down is ``UnavailableError``."""

    async def append(self, changes: Sequence[LicenseChanged]) -> None:
        """Write the edges, each once per ``edge_id``, in this order, all or none."""
        ...

    async def unpublished(self) -> Sequence[LicenseChanged]:
        """Edges of this device written but not yet marked as published, oldest first."""
        ...

    async def mark_published(self, changes: Sequence[LicenseChanged]) -> None:
        """The edges have reached every listener."""
        ...

    async def history(self, camera_id: CameraId | None, *, limit: int) -> Sequence[LicenseChanged]:
        """The newest edges of one camera of this device, or of all, newest first; at most ``limit``."""
        ...
