"""Announces edges: logged once, written to license_validation_log, then published; at least once across a crash.

While PostgreSQL is down the rows wait here, bounded, and publishing goes on; an edge counts as written down only once
its row is, so that a restart finds it again, with the same id.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Final

import structlog

from tapi_agent import telemetry
from tapi_agent.domain.errors import TapiError
from tapi_agent.domain.license import LicenseState
from tapi_agent.services.connectivity import POSTGRES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from tapi_agent.domain.events import LicenseChanged
    from tapi_agent.ports.licenses import LicenseLog
    from tapi_agent.ports.publisher import Publisher
    from tapi_agent.services.connectivity import Connectivity

log = structlog.get_logger(__name__)

_MOST_WAITING: Final = 10_000


class Edges:
    """The way of an edge from the verdict to everyone who asked to hear of it."""

    def __init__(
        self,
        *,
        edge_log: LicenseLog,
        publisher: Publisher,
        connectivity: Connectivity,
        written: Callable[[Sequence[LicenseChanged]], None],
    ) -> None:
        self._log = edge_log
        self._publisher = publisher
        self._connectivity = connectivity
        self._written = written
        self._turn = asyncio.Lock()
        self._unwritten: deque[LicenseChanged] = deque(maxlen=_MOST_WAITING)
        self._unpublished: deque[LicenseChanged] = deque(maxlen=_MOST_WAITING)
        self._unmarked: deque[LicenseChanged] = deque(maxlen=_MOST_WAITING)
        self._looked_back = False

    def add(self, changes: Iterable[LicenseChanged]) -> None:
        """Log these and queue them for ``deliver``."""
        for change in changes:
            _tell(change)
            self._unwritten.append(change)
            self._unpublished.append(change)

    @property
    def waiting(self) -> bool:
        """Whether anything is left to write, publish or mark."""
        return not self._looked_back or bool(self._unwritten or self._unpublished or self._unmarked)

    async def deliver(self) -> None:
        """Write, publish and mark whatever waits, in order; what cannot be written is tried again at the next call."""
        async with self._turn:
            try:
                await self._write()
            except TapiError as error:
                self._connectivity.failed(POSTGRES, error)
                await self._publish()
            else:
                await self._publish()
                await self._mark()

    async def _write(self) -> None:
        if not self._looked_back:
            self._unpublished.extendleft(reversed(await self._log.unpublished()))
            self._looked_back = True
        rows = list(self._unwritten)
        if rows:
            await self._log.append(rows)
            self._connectivity.succeeded(POSTGRES)
            self._written(rows)
            for _ in rows:
                self._unwritten.popleft()

    async def _publish(self) -> None:
        while self._unpublished:
            await self._publisher.license_changed(self._unpublished[0])
            self._unmarked.append(self._unpublished.popleft())

    async def _mark(self) -> None:
        marks = list(self._unmarked)
        if not marks:
            return
        try:
            await self._log.mark_published(marks)
        except TapiError as error:
            self._connectivity.failed(POSTGRES, error)
            return
        for _ in marks:
            self._unmarked.popleft()


def _tell(change: LicenseChanged) -> None:
    telemetry.LICENSE_TRANSITIONS.labels(old=change.old, new=change.new).inc()
    tell = log.error if change.new is LicenseState.EXPIRED else log.warning
    if change.new in {LicenseState.VALID, LicenseState.OFFLINE}:
        tell = log.info
    tell(
        "license.changed",
        camera_id=change.subject.camera_id,
        old=str(change.old),
        new=str(change.new),
        reason=str(change.reason),
        edge_id=str(change.edge_id),
    )
