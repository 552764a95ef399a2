"""Announces edges: logged once, written to license_validation_log, then published; at least once across a crash.

While PostgreSQL is down the rows wait here and in the roster, bounded, and publishing goes on. Nobody hears of an edge
that is not in the roster yet: a crash can repeat an edge, but not undo one.
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
    from collections.abc import Awaitable, Callable, Iterable, Sequence
    from uuid import UUID

    from tapi_agent.domain.events import LicenseChanged
    from tapi_agent.ports.licenses import LicenseLog
    from tapi_agent.ports.publisher import Publisher
    from tapi_agent.services.connectivity import Connectivity

log = structlog.get_logger(__name__)

_MOST_WAITING: Final = 10_000


class Edges:
    """The way of an edge from the verdict to everyone who asked to hear of it.

    ``secure`` puts what is ``unwritten`` into the roster; ``written`` is called when less is.
    """

    def __init__(
        self,
        *,
        edge_log: LicenseLog,
        publisher: Publisher,
        connectivity: Connectivity,
        secure: Callable[[], Awaitable[None]],
        written: Callable[[], None],
    ) -> None:
        self._log = edge_log
        self._publisher = publisher
        self._connectivity = connectivity
        self._secure = secure
        self._written = written
        self._turn = asyncio.Lock()
        self._unwritten: deque[LicenseChanged] = deque(maxlen=_MOST_WAITING)
        self._unpublished: deque[LicenseChanged] = deque(maxlen=_MOST_WAITING)
        self._unmarked: deque[LicenseChanged] = deque(maxlen=_MOST_WAITING)
        self._insecure: set[UUID] = set()
        self._looked_back = False

    def add(self, changes: Iterable[LicenseChanged]) -> None:
        """Log these and queue them for ``deliver``."""
        for change in changes:
            _tell(change)
            self._insecure.add(change.edge_id)
            self._unwritten.append(change)
            self._unpublished.append(change)

    def take_up(self, changes: Iterable[LicenseChanged]) -> None:
        """Queue what the roster says was on its way when the last process ended."""
        self._unwritten.extend(changes)
        self._unpublished.extend(self._unwritten)

    @property
    def unwritten(self) -> Sequence[LicenseChanged]:
        """Edges that the log may not have yet, oldest first."""
        return tuple(self._unwritten)

    @property
    def waiting(self) -> bool:
        """Whether anything is left to write, publish or mark."""
        return not self._looked_back or bool(self._unwritten or self._unpublished or self._unmarked)

    async def deliver(self) -> None:
        """Write, publish and mark whatever waits, in order; what cannot be written is tried again at the next call."""
        async with self._turn:
            secured = set(self._insecure)
            await self._secure()
            self._insecure -= secured
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
            known = {change.edge_id for change in self._unpublished}
            found = [change for change in await self._log.unpublished() if change.edge_id not in known]
            self._unpublished.extendleft(reversed(found))
            self._looked_back = True
        rows = [change for change in self._unwritten if change.edge_id not in self._insecure]
        if rows:
            await self._log.append(rows)
            self._connectivity.succeeded(POSTGRES)
            written = {change.edge_id for change in rows}
            while self._unwritten and self._unwritten[0].edge_id in written:
                self._unwritten.popleft()
            self._written()

    async def _publish(self) -> None:
        while self._unpublished and self._unpublished[0].edge_id not in self._insecure:
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
