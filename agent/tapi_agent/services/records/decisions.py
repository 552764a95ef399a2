"""Keeps feature_entitlements as things stand: whenever a decision may have changed, those that did are written.

Owns the memory of what was written last, a digest a camera. What is decided comes from ``services.entitlements``;
nobody is answered from here.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from contextlib import suppress
from datetime import timedelta
from typing import TYPE_CHECKING, Final

import structlog

from tapi_agent.domain.errors import TapiError, UnavailableError
from tapi_agent.domain.holder import NEVER
from tapi_agent.domain.ids import STRANGER, TENANT
from tapi_agent.services.connectivity import POSTGRES

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import datetime

    from tapi_agent.domain.holder import Holder
    from tapi_agent.domain.ids import CameraId
    from tapi_agent.ports.clock import TrustedClock
    from tapi_agent.ports.entitlements import Licenses
    from tapi_agent.ports.records import DecisionRecords
    from tapi_agent.services.connectivity import Connectivity
    from tapi_agent.services.entitlements import Entitlements

log = structlog.get_logger(__name__)

_COMPANY: Final = timedelta(seconds=1)
"""What changes within it is written together: a round of refreshing changes one camera after the other."""
_GLANCE: Final = timedelta(minutes=1)
"""Longest time between two looks at the trusted clock, which may jump over a deadline."""
_ROWS: Final = 5000
"""In one statement; a camera takes as many as there are features."""


class DecisionRecorder:
    """Writes the decisions of the tenant and of every camera; ``wake`` it when ``entitlements`` may have changed."""

    def __init__(
        self,
        *,
        entitlements: Entitlements,
        licenses: Licenses,
        records: DecisionRecords,
        connectivity: Connectivity,
        clock: TrustedClock,
    ) -> None:
        self._entitlements = entitlements
        self._licenses = licenses
        self._records = records
        self._connectivity = connectivity
        self._clock = clock
        self._written: dict[CameraId, tuple[int, datetime]] = {}
        self._rules: tuple[int, frozenset[str]] = (-1, frozenset())
        self._until = NEVER
        self._knows_the_table = False
        self._changed = asyncio.Event()

    def wake(self) -> None:
        """Something may have changed: look soon."""
        self._changed.set()

    def start_over(self) -> None:
        """PostgreSQL is back, and may be another one: what was written counts for nothing."""
        self._knows_the_table = False
        self.wake()

    async def run(self) -> None:
        """Until cancelled: write a second after something has changed, or a decision has come to its end."""
        self.wake()
        while True:
            await self._reason_to_look()
            await asyncio.sleep(_COMPANY.total_seconds())
            self._changed.clear()
            await self.record()

    async def record(self) -> None:
        """Write what is not written yet; nothing while PostgreSQL is known to be down."""
        report = self._connectivity.report().get(POSTGRES)
        if report and report.up is False:
            return
        try:
            await self._forget_the_gone()
            for holder, cameras in (await self._unwritten()).items():
                await self._write(holder, cameras)
        except UnavailableError as error:
            self._connectivity.failed(POSTGRES, error)
        except TapiError as error:
            log.exception("decisions.not_forgotten", error=str(error))

    async def _reason_to_look(self) -> None:
        while not self._changed.is_set() and (now := self._clock.now()) < self._until and self._rules == self._look():
            with suppress(TimeoutError):
                async with asyncio.timeout(min(self._until - now, _GLANCE).total_seconds()):
                    await self._changed.wait()

    async def _forget_the_gone(self) -> None:
        """Cameras that were removed; after a start, or in a database that came back, whatever is there too much."""
        known = set(self._everyone())
        if not self._knows_the_table:
            self._written.clear()
            self._knows_the_table = True
        elif self._written.keys() <= known:
            return
        try:
            await self._records.retain(known)
        except TapiError:
            self._knows_the_table = False
            raise
        self._written = {camera_id: what for camera_id, what in self._written.items() if camera_id in known}

    async def _unwritten(self) -> Mapping[Holder, Mapping[CameraId, datetime]]:
        """Cameras whose decisions are not as they were written, and until when these hold, by what they hold."""
        found: defaultdict[Holder, dict[CameraId, datetime]] = defaultdict(dict)
        self._until = NEVER
        self._rules = self._look()
        for camera_id in self._everyone():
            holder = self._entitlements.holder(camera_id)
            self._until = min(self._until, holder.until)
            timeless = holder.timeless()
            if self._written.get(camera_id) != (self._digest(timeless), holder.until):
                found[timeless][camera_id] = holder.until
            await asyncio.sleep(0)  # a thousand cameras must not hold up those who ask
        return found

    async def _write(self, holder: Holder, cameras: Mapping[CameraId, datetime]) -> None:
        decisions = self._entitlements.decisions(holder)
        for some in _parts(cameras, max(1, _ROWS // max(1, len(decisions)))):
            until = {camera_id: None if at == NEVER else at for camera_id, at in some.items()}
            try:
                await self._records.record(decisions, until, decided_at=self._clock.now())
            except UnavailableError:
                raise
            except TapiError as error:  # a bug; tried again unchanged, it would be refused again
                log.exception("decisions.not_recorded", cameras=len(some), error=str(error))
            self._written |= {camera_id: (self._digest(holder), at) for camera_id, at in some.items()}

    def _look(self) -> tuple[int, frozenset[str]]:
        """The rules of this moment: their edition, and the meters whose hard quota is used up."""
        return self._entitlements.edition, self._entitlements.spent()

    def _everyone(self) -> tuple[CameraId, ...]:
        """The tenant, every camera, and what is answered about any other."""
        return (TENANT, STRANGER, *self._licenses.cameras())

    def _digest(self, holder: Holder) -> int:
        """What decisions are made of: what somebody holds, and the rules of the time of looking."""
        return hash((holder, self._rules))


def _parts(cameras: Mapping[CameraId, datetime], size: int) -> Iterator[dict[CameraId, datetime]]:
    pairs = list(cameras.items())
    return (dict(pairs[start : start + size]) for start in range(0, len(pairs), size))
