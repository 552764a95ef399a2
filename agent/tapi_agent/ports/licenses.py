"""Where evidence is kept and where edges are written down. What is stored is sealed evidence, never a verdict."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Sequence

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
    """Evidence on its way into a tier; ``raw`` is the reply it was made of, as it came, while it is still at hand."""

    evidence: Evidence
    sealed: str
    raw: str = ""


class EvidenceTier(Protocol):
    """One place that keeps sealed evidence: the local file, Redis, PostgreSQL. Down is ``UnavailableError``."""

    @property
    def name(self) -> str:
        """What the tier is called in answers and logs."""
        ...

    async def load(self, subject: Subject) -> str | None:
        """The sealed evidence of a subject; ``None`` is a miss."""
        ...

    async def load_all(self) -> Sequence[str]:
        """All sealed evidence of this tier, at start."""
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


class Roster(Protocol):
    """The cameras of this device, kept locally: who came first, and the last edge of each that is written down."""

    async def load(self) -> Sequence[Camera] | None:
        """All cameras; ``None`` when there is no roster yet. ``UnavailableError`` when it cannot be read."""
        ...

    async def save(self, cameras: Sequence[Camera]) -> None:
        """Keep these in place of what was kept; ``UnavailableError`` when that fails."""
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

    async def history(self, camera_id: CameraId, *, limit: int) -> Sequence[LicenseChanged]:
        """The newest edges of one camera of this device, newest first; at most ``limit``."""
        ...
