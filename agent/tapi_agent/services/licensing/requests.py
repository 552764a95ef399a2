"""Asking without a network: a request that somebody carries to the authority, and the one whose answer is awaited.

Only the newest request is open: a lease imported while it is must hold its nonce, so that no answer to an earlier one
comes back. What comes back is ``imports``'s.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import structlog

from tapi_agent.domain.errors import IntegrityError, UnavailableError
from tapi_agent.ports.licenses import OpenRequest

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from tapi_agent.domain.ids import CameraId
    from tapi_agent.domain.license import Subject
    from tapi_agent.ports.licenses import RequestStore
    from tapi_agent.services.licensing.values import Surroundings

log = structlog.get_logger(__name__)

_NONCE_BYTES: Final = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class LicenseRequest:
    """What the authority needs for leases of this box.

    ``sequences`` has that of each camera's own lease (0: it has none), ``sequence`` that of the tenant's;
    ``components`` are this machine's hashed marks; ``wall`` and ``trusted`` the clocks.
    """

    tenant: Subject
    nonce: str
    components: Mapping[str, str]
    sequences: Mapping[CameraId, int]
    sequence: int
    wall: datetime
    trusted: datetime


class Requests:
    """The open request of this box."""

    def __init__(self, around: Surroundings, *, kept: RequestStore) -> None:
        self._around = around
        self._kept = kept
        self.open: OpenRequest | None = None

    async def load(self) -> None:
        """Take up the request that was open when the agent ended; one that cannot be read counts as none."""
        try:
            self.open = await self._kept.load()
        except (IntegrityError, UnavailableError) as error:
            log.error("license.request_lost", error=str(error), fix=error.fix)  # noqa: TRY400 - the agent goes on without it

    async def make(self, sequences: Mapping[CameraId, int], *, sequence: int) -> LicenseRequest:
        """Open a request in place of the one before; it is on disk when this returns. Raises ``UnavailableError``."""
        around, trusted = self._around, self._around.clock.now()
        opened = OpenRequest(nonce=around.entropy(_NONCE_BYTES).hex(), made_at=trusted)
        await self._kept.save(opened)
        self.open = opened
        log.info("license.requested", cameras=len(sequences))
        return LicenseRequest(
            tenant=around.tenant,
            nonce=opened.nonce,
            components=around.leases.components(),
            sequences=sequences,
            sequence=sequence,
            wall=around.machine.wall(),
            trusted=trusted,
        )

    async def close(self) -> bool:
        """No answer is awaited any more; whether one was. Raises ``UnavailableError``."""
        was_open = self.open is not None
        if was_open:
            await self._kept.clear()
            self.open = None
        return was_open
