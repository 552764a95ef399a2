"""Reminds the operator once a day that cameras are in grace: full function goes on, but not for long.

The edge into grace is a warning of its own (``edges``), so the first reminder comes a day later, or a day after start.
A job calls ``remind``.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final

import structlog

from tapi_agent.domain.license import LicenseState

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from tapi_agent.domain.license import Standing
    from tapi_agent.ports.clock import Clock
    from tapi_agent.services.licensing.service import Licensing

log = structlog.get_logger(__name__)

_EVERY: Final = timedelta(hours=24)


class Reminder:
    """Says so while any camera is in grace; counts time as it passes for the machine, suspend included."""

    def __init__(self, licensing: Licensing, machine: Clock) -> None:
        self._licensing = licensing
        self._machine = machine
        self._told: timedelta | None = None

    async def remind(self) -> None:
        """One warning for all cameras in grace, if the last one, or the first sight of them, is a day old."""
        standings = self._in_grace()
        now = self._machine.boottime()
        if not standings:
            self._told = None
        elif self._told is None:
            self._told = now
        elif now - self._told >= _EVERY:
            self._told = now
            _tell(standings)

    def _in_grace(self) -> Sequence[Standing]:
        standings = (self._licensing.view(camera_id).standing for camera_id in self._licensing.cameras())
        return [standing for standing in standings if standing.state is LicenseState.GRACE]


def _tell(standings: Sequence[Standing]) -> None:
    log.warning(
        "license.in_grace",
        cameras=len(standings),
        expires_at=_first_expiry(standings),
        reasons=sorted({str(standing.reason) for standing in standings}),
    )


def _first_expiry(standings: Sequence[Standing]) -> datetime | None:
    upcoming = (standing.next_transition for standing in standings)
    return min((next_.at for next_ in upcoming if next_ and next_.to is LicenseState.EXPIRED), default=None)
