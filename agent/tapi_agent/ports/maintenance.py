"""The database as something to be kept in order. Every call raises ``UnavailableError`` when it gives no answer.

All of it may be repeated, interrupted, and done by several agents at once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime


class Upkeep(Protocol):
    """Months of the partitioned tables, and the materialized views."""

    async def make_months(self, first: datetime, last: datetime) -> None:
        """Make sure that every partitioned table has the months from ``first`` to ``last``."""
        ...

    async def refresh_views(self) -> bool:
        """Bring the materialized views up to date while they are being read; false: another agent is at it."""
        ...

    async def retire_usage(self, before: datetime) -> Sequence[str]:
        """Drop the empty months of usage events that ended ``before``; returns their names."""
        ...

    async def retire_telemetry(self, before: datetime) -> Sequence[str]:
        """Drop the months of telemetry events that ended ``before``, with all that is in them; returns their names."""
        ...


class Retention(Protocol):
    """Rows that have been kept long enough; returns how many went. What is unfinished is never among them."""

    async def usage_bytes(self) -> int:
        """Size of the usage events on disk, bytes."""
        ...

    async def oldest_finished(self) -> datetime | None:
        """When the oldest of this device's finished usage events was recorded; ``None`` without any."""
        ...

    async def newest_finished(self, before: datetime) -> datetime | None:
        """When the newest of those recorded ``before`` was; ``None`` without any."""
        ...

    async def forget_usage(self, before: datetime) -> int:
        """Delete this device's finished usage events recorded ``before``, oldest first."""
        ...

    async def forget_telemetry(self, before: datetime) -> int:
        """Delete what telemetry from ``before`` there is beside the months of events."""
        ...

    async def forget_edges(self, before: datetime) -> int:
        """Delete published license edges from ``before``, but never the last one of a camera."""
        ...
