"""The billing service of a device that was not told where it is: never an answer, always the remedy."""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

from tapi_agent.domain.delivery import TransportFailure, UsageReply
from tapi_agent.domain.errors import UnavailableError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from uuid import UUID

    from tapi_agent.domain.delivery import WireBatch
    from tapi_agent.domain.ids import CameraId, TenantId
    from tapi_agent.domain.license import Subject
    from tapi_agent.ports.billing import Question


class AbsentBilling:
    """``ports.billing.BillingService`` without a service: everything is recorded and kept until there is one."""

    async def health(self) -> None:
        """Raises ``UnavailableError``, as every call here."""
        self._missing()

    async def validate(self, _subject: Subject, _question: Question) -> NoReturn:
        """No answer."""
        self._missing()

    async def license_report(self, _tenant_id: TenantId) -> NoReturn:
        """No answer."""
        self._missing()

    async def feature(self, _tenant_id: TenantId, _feature: str) -> NoReturn:
        """No answer."""
        self._missing()

    async def heartbeat(self, *, tenant_id: TenantId, cameras: Sequence[CameraId], tier: str) -> NoReturn:
        """No answer."""
        self._missing(tenant_id, cameras, tier)

    async def send_usage(self, _batch: WireBatch) -> UsageReply:
        """Not sent."""
        return UsageReply(failure=TransportFailure.REFUSED, written=False)

    async def find_batch(self, _batch_id: UUID) -> NoReturn:
        """No answer."""
        self._missing()

    async def usage_sums(self, _tenant_id: TenantId, *, start: datetime, end: datetime) -> NoReturn:
        """No answer."""
        self._missing(start, end)

    async def usage_totals(self, *, start: datetime, end: datetime) -> NoReturn:
        """No answer."""
        self._missing(start, end)

    async def look_up(self, _event_ids: Sequence[UUID]) -> NoReturn:
        """No answer."""
        self._missing()

    async def close(self) -> None:
        """Nothing to close."""

    @staticmethod
    def _missing(*_unused: object) -> NoReturn:
        raise UnavailableError("there is no billing service to ask", fix="set BILLING_SERVICE_URL and BILLING_API_KEY")
