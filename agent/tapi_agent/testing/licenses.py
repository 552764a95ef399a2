"""Where evidence is kept and edges are written, in memory: stand-ins for files, Redis and PostgreSQL."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tapi_agent.domain.errors import UnavailableError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from tapi_agent.domain.events import LicenseChanged
    from tapi_agent.domain.ids import CameraId
    from tapi_agent.domain.license import Camera, Evidence, Subject
    from tapi_agent.domain.trusted_time import Mark


class Switch:
    """Something that can be down."""

    def __init__(self) -> None:
        self.is_down = False

    def check(self) -> None:
        """Raise ``UnavailableError`` while down."""
        if self.is_down:
            raise UnavailableError("switched off by the test")


class MemoryEvidence(Switch):
    """Implements ``ports.licenses.EvidenceTier``."""

    def __init__(self, name: str = "memory") -> None:
        super().__init__()
        self.name = name
        self.kept: dict[Subject, tuple[Evidence, str]] = {}

    async def load(self, subject: Subject) -> str | None:
        """What is kept on a subject."""
        self.check()
        kept = self.kept.get(subject)
        return None if kept is None else kept[1]

    async def load_all(self) -> Sequence[str]:
        """All that is kept."""
        self.check()
        return [sealed for _, sealed in self.kept.values()]

    async def save(self, evidence: Evidence, sealed: str) -> None:
        """Keep it."""
        self.check()
        self.kept[evidence.subject] = evidence, sealed


class MemoryRoster(Switch):
    """Implements ``ports.licenses.Roster``."""

    def __init__(self) -> None:
        super().__init__()
        self.cameras: Sequence[Camera] | None = None

    async def load(self) -> Sequence[Camera] | None:
        """All cameras kept."""
        self.check()
        return self.cameras

    async def save(self, cameras: Sequence[Camera]) -> None:
        """Keep these."""
        self.check()
        self.cameras = tuple(cameras)


class MemoryLicenseLog(Switch):
    """Implements ``ports.licenses.LicenseLog``."""

    def __init__(self) -> None:
        super().__init__()
        self.edges: dict[UUID, LicenseChanged] = {}
        self.published: set[UUID] = set()

    async def append(self, changes: Sequence[LicenseChanged]) -> None:
        """Write the edges, each once."""
        self.check()
        for change in changes:
            self.edges.setdefault(change.edge_id, change)

    async def unpublished(self) -> Sequence[LicenseChanged]:
        """Edges not marked yet, oldest first."""
        self.check()
        return [change for edge_id, change in self.edges.items() if edge_id not in self.published]

    async def mark_published(self, changes: Sequence[LicenseChanged]) -> None:
        """Mark them."""
        self.check()
        self.published.update(change.edge_id for change in changes)

    async def history(self, camera_id: CameraId, *, limit: int) -> Sequence[LicenseChanged]:
        """The newest edges of a camera."""
        self.check()
        edges = [change for change in reversed(self.edges.values()) if change.subject.camera_id == camera_id]
        return sorted(edges, key=lambda change: change.at, reverse=True)[:limit]


class MemoryMark(Switch):
    """Implements ``ports.clock.MarkStore``."""

    def __init__(self) -> None:
        super().__init__()
        self.mark: Mark | None = None

    async def load(self) -> Mark | None:
        """The mark kept."""
        self.check()
        return self.mark

    async def save(self, mark: Mark) -> None:
        """Keep it."""
        self.check()
        self.mark = mark


class Announcements:
    """Implements ``ports.publisher.Publisher`` and remembers what it was told."""

    def __init__(self) -> None:
        self.changes: list[LicenseChanged] = []

    async def license_changed(self, change: LicenseChanged) -> None:
        """Remember it."""
        self.changes.append(change)
