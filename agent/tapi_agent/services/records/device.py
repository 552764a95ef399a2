"""Keeps the device's row in edge_devices: at start, after every heartbeat, and when PostgreSQL comes back."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import structlog

from tapi_agent.domain.errors import TapiError, UnavailableError
from tapi_agent.ports.records import DeviceRecord
from tapi_agent.services.connectivity import POSTGRES

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime, timedelta

    from tapi_agent.ports.clock import TrustedClock
    from tapi_agent.ports.records import DeviceRecords
    from tapi_agent.services.connectivity import Connectivity

log = structlog.get_logger(__name__)


class DeviceRecorder:
    """Writes what the box is, by ``hardware`` and ``network``, and when the service last answered a heartbeat."""

    def __init__(
        self,
        *,
        records: DeviceRecords,
        connectivity: Connectivity,
        clock: TrustedClock,
        hardware: Callable[[], Mapping[str, object]],
        network: Callable[[], Mapping[str, object]],
    ) -> None:
        self._records = records
        self._connectivity = connectivity
        self._clock = clock
        self._hardware = hardware
        self._network = network
        self._heartbeat_at: datetime | None = None
        self._interval: timedelta | None = None
        self._due = asyncio.Event()

    def wake(self) -> None:
        """Write the row soon."""
        self._due.set()

    def heartbeat_answered(self, interval: timedelta) -> None:
        """The billing service has answered a heartbeat, and gets the next one after ``interval``."""
        self._heartbeat_at, self._interval = self._clock.now(), interval
        self.wake()

    async def run(self) -> None:
        """Until cancelled: write when there is something to write."""
        self.wake()
        while True:
            await self._due.wait()
            self._due.clear()
            await self.record()

    async def record(self) -> None:
        """Write the row; when PostgreSQL is down, its coming back is the next chance."""
        found = DeviceRecord(
            heartbeat_at=self._heartbeat_at,
            heartbeat_interval=self._interval,
            hardware=await asyncio.to_thread(self._hardware),
            network=await asyncio.to_thread(self._network),
        )
        try:
            await self._records.save(found)
        except UnavailableError as error:
            self._connectivity.failed(POSTGRES, error)
        except TapiError as error:
            log.exception("device.not_recorded", error=str(error))
