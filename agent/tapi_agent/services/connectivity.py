"""What is known of each dependency: up, down, since when, why. Logs edges: the first failure, the recovery.

Owns the picture only: whoever talks to a dependency reports here how it went. Services that wait for one to come back
register with ``on_recovery``. A job calls ``probe_billing``.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import structlog

from tapi_agent import telemetry
from tapi_agent.domain.errors import TapiError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime

    from tapi_agent.ports.billing import BillingService
    from tapi_agent.ports.clock import TrustedClock

log = structlog.get_logger(__name__)

BILLING: Final = "billing"
POSTGRES: Final = "postgres"
REDIS: Final = "redis"


@dataclass(frozen=True, slots=True, kw_only=True)
class DependencyReport:
    """One dependency: ``up`` is ``None`` before the first try; ``detail`` and ``fix`` tell of the latest failure."""

    up: bool | None = None
    since: datetime | None = None
    detail: str = ""
    fix: str = ""


class Connectivity:
    """The links to everything that may vanish."""

    def __init__(
        self, *, clock: TrustedClock, billing: BillingService, names: Sequence[str] = (BILLING, POSTGRES, REDIS)
    ) -> None:
        self._clock = clock
        self._billing = billing
        self._reports = {name: DependencyReport() for name in names}
        self._waiting: defaultdict[str, list[Callable[[], None]]] = defaultdict(list)
        self._healthy = False

    def succeeded(self, name: str) -> None:
        """A call was answered; on the edge from down to up those who wait are told."""
        before = self._report(name)
        if before.up:
            return
        self._reports[name] = DependencyReport(up=True, since=self._clock.now())
        telemetry.DEPENDENCY_UP.labels(dependency=name).set(1)
        if before.up is False:
            log.info("dependency.recovered", dependency=name, down_since=before.since)
            self._wake(name)

    def failed(self, name: str, error: Exception) -> None:
        """A call was not answered."""
        before = self._report(name)
        down = before.up is False
        fix = error.fix if isinstance(error, TapiError) else ""
        since = before.since if down else self._clock.now()
        self._reports[name] = DependencyReport(up=False, since=since, detail=str(error), fix=fix)
        telemetry.DEPENDENCY_UP.labels(dependency=name).set(0)
        if not down:
            self._healthy = self._healthy and name != BILLING
            log.warning("dependency.lost", dependency=name, error=str(error), fix=fix)

    def report(self) -> Mapping[str, DependencyReport]:
        """Every dependency by name."""
        return dict(self._reports)

    def on_recovery(self, name: str, callback: Callable[[], None]) -> None:
        """Call ``callback`` whenever ``name`` comes back; it must only set something going."""
        self._waiting[name].append(callback)

    async def probe_billing(self) -> None:
        """Ask a lost billing service whether it is there again, and if it has just come back wake those who wait.

        It counts as up only once it has answered a real call: one that is healthy but refuses our key is still of no
        use, and must not be woken up for at every probe.
        """
        if self._report(BILLING).up is not False:
            return
        was_healthy, self._healthy = self._healthy, await self._is_healthy()
        if self._healthy and not was_healthy:
            self._wake(BILLING)

    async def _is_healthy(self) -> bool:
        try:
            await self._billing.health()
        except TapiError as error:
            self.failed(BILLING, error)
            return False
        return True

    def _report(self, name: str) -> DependencyReport:
        return self._reports.get(name, DependencyReport())

    def _wake(self, name: str) -> None:
        for callback in self._waiting[name]:
            callback()
