"""Where evidence is kept and where edges are written down. What is stored is sealed evidence, never a verdict."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tapi_agent.domain.events import LicenseChanged
    from tapi_agent.domain.license import Camera, Evidence, Subject


class EvidenceSealer(Protocol):
    """Binds evidence to this device so that a stored copy can be verified on every load."""

    def seal(self, evidence: Evidence) -> str:
        """Evidence as canonical JSON with a keyed digest."""
        ...

    def unseal(self, sealed: str) -> Evidence:
        """The evidence; raises ``IntegrityError`` when digest or form is wrong."""
        ...


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


class Roster(Protocol):
    """The cameras of this device, kept locally: who came first, and the last edge of each that is written down."""

    async def load(self) -> Sequence[Camera]:
        """All cameras; none when there is no roster yet. ``UnavailableError`` when it cannot be read."""
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
