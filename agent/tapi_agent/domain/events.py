"""What happened, as values: published to plugins and written to the log."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

    from tapi_agent.domain.license import LicenseState, Reason, Subject


@dataclass(frozen=True, slots=True, kw_only=True)
class LicenseChanged:
    """One edge of one subject's lifecycle, delivered at least once; ``edge_id`` tells repeats apart."""

    edge_id: UUID
    subject: Subject
    old: LicenseState
    new: LicenseState
    reason: Reason
    at: datetime
