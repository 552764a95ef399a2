"""Where evidence is kept and edges are written, in memory: stand-ins for files, Redis and PostgreSQL."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tapi_agent.domain.errors import UnavailableError
from tapi_agent.ports.licenses import Roll

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from uuid import UUID

    from tapi_agent.domain.events import LicenseChanged
    from tapi_agent.domain.ids import CameraId
    from tapi_agent.domain.license import Camera, Evidence, Subject
    from tapi_agent.domain.trusted_time import Mark
    from tapi_agent.ports.licenses import OpenRequest


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

    async def load_all(self) -> Mapping[Subject, str]:
        """All that is kept."""
        self.check()
        return {subject: sealed for subject, (_, sealed) in self.kept.items()}

    async def save(self, evidence: Evidence, sealed: str) -> None:
        """Keep it."""
        self.check()
        self.kept[evidence.subject] = evidence, sealed


class MemoryRequest(Switch):
    """Implements ``ports.licenses.RequestStore``."""

    def __init__(self) -> None:
        super().__init__()
        self.open: OpenRequest | None = None

    async def load(self) -> OpenRequest | None:
        """The request kept."""
        self.check()
        return self.open

    async def save(self, request: OpenRequest) -> None:
        """Keep it."""
        self.check()
        self.open = request

    async def clear(self) -> None:
        """Keep none."""
        self.check()
        self.open = None


class MemoryRoster(Switch):
    """Implements ``ports.licenses.Roster``."""

    def __init__(self) -> None:
        super().__init__()
        self.cameras: Sequence[Camera] | None = None
        self.edges: Sequence[LicenseChanged] = ()

    async def load(self) -> Roll | None:
        """What is kept."""
        self.check()
        return None if self.cameras is None else Roll(cameras=self.cameras, edges=self.edges)

    async def save(self, roll: Roll) -> None:
        """Keep it."""
        self.check()
        self.cameras, self.edges = tuple(roll.cameras), tuple(roll.edges)


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

    async def history(self, camera_id: CameraId | None, *, limit: int) -> Sequence[LicenseChanged]:
        """The newest edges of a camera, or of all."""
        self.check()
        edges = [change for change in reversed(self.edges.values()) if camera_id in {None, change.subject.camera_id}]
        return sorted(edges, key=lambda change: change.at, reverse=True)[:limit]


class MemoryMark(Switch):
    """Implements ``ports.clock.MarkStore``."""

    def __init__(self, name: str = "memory") -> None:
        super().__init__()
        self.name = name
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
