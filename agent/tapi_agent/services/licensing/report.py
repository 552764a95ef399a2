"""Whether to ask for all cameras in one call: the license report, which not every service offers and none can sign.

One that fails although the service answers otherwise must not keep the cameras from being asked one by one. Called by
``refresh``.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final

import structlog

from tapi_agent.domain.errors import UnavailableError
from tapi_agent.domain.ids import TENANT

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tapi_agent.domain.ids import CameraId
    from tapi_agent.ports.billing import LicenseReport
    from tapi_agent.services.licensing.values import Surroundings

log = structlog.get_logger(__name__)

_SET_ASIDE: Final = timedelta(days=1)


class Reports:
    """The report of one tenant. ``doubted``: it got no answer, and nobody knows yet whether that was its own fault."""

    def __init__(self, around: Surroundings) -> None:
        self._billing = around.billing
        self._tenant_id = around.tenant.tenant_id
        self._machine = around.machine
        self._trusted = around.leases.trusted
        self._not_before = timedelta(0)
        self.doubted = False

    def suits(self, camera_ids: Sequence[CameraId]) -> bool:
        """Whether to ask for these by a report; of the tenant itself a classic service speaks nowhere else."""
        saves = len(camera_ids) > 1 or TENANT in camera_ids
        return saves and not self._trusted and self._machine.boottime() >= self._not_before

    async def ask(self, *, answering: bool) -> LicenseReport | None:
        """The report; ``None`` when there is none for a day. Errors as of ``ports.billing``.

        ``answering``: the service has just answered another call, so that it is not to blame for silence here.
        """
        try:
            report = await self._billing.license_report(self._tenant_id)
        except UnavailableError as error:
            if not answering:
                self.doubted = True
                raise
            self._set_aside(str(error))
            return None
        self.doubted = False
        if report is None:
            self._set_aside("the service does not offer it")
        return report

    def _set_aside(self, why: str) -> None:
        self.doubted = False
        self._not_before = self._machine.boottime() + _SET_ASIDE
        log.info("license.report_set_aside", why=why)
