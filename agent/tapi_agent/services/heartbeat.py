"""Tells the billing service that this device and its cameras are alive. A loop calls ``beat`` and waits as told."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final

from tapi_agent.domain.backoff import CHANCE_BYTES, full_jitter
from tapi_agent.domain.errors import IntegrityError, RejectedError, UnavailableError
from tapi_agent.services.connectivity import BILLING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tapi_agent.domain.ids import CameraId, TenantId
    from tapi_agent.ports.billing import BillingService
    from tapi_agent.services.connectivity import Connectivity

SHORTEST: Final = timedelta(seconds=60)
LONGEST: Final = timedelta(hours=24)


class Heartbeat:
    """One device's heartbeat, every ``interval`` or as the service wishes."""

    def __init__(  # noqa: PLR0913 - all by name
        self,
        *,
        billing: BillingService,
        connectivity: Connectivity,
        tenant_id: TenantId,
        tier: str,
        cameras: Callable[[], Sequence[CameraId]],
        interval: timedelta,
        entropy: Callable[[int], bytes],
    ) -> None:
        self._billing = billing
        self._connectivity = connectivity
        self._tenant_id = tenant_id
        self._tier = tier
        self._cameras = cameras
        self._interval = interval
        self._entropy = entropy
        self._failures = 0
        self._listeners: list[Callable[[timedelta], None]] = []

    def on_answer(self, callback: Callable[[timedelta], None]) -> None:
        """Call ``callback`` whenever the service has answered, with the time until the next one is due."""
        self._listeners.append(callback)

    async def beat(self) -> timedelta:
        """Beat once; returns how long to wait for the next one, 60 s to 24 h. After silence: a jittered backoff."""
        try:
            reply = await self._billing.heartbeat(tenant_id=self._tenant_id, cameras=self._cameras(), tier=self._tier)
        except UnavailableError as error:
            return self._backoff(error)
        except (RejectedError, IntegrityError):
            wish = None  # an older service without heartbeats, or one that answers oddly: it is there, and heard us
        else:
            wish = reply.next_heartbeat
        self._failures = 0
        self._connectivity.succeeded(BILLING)
        wait = _clamped(wish or self._interval)
        for listener in self._listeners:
            listener(wait)
        return wait

    def _backoff(self, error: UnavailableError) -> timedelta:
        self._failures += 1
        self._connectivity.failed(BILLING, error)
        wait = full_jitter(self._failures, first=SHORTEST, limit=self._interval, entropy=self._entropy(CHANCE_BYTES))
        return _clamped(max(wait, error.retry_after or timedelta(0)))


def _clamped(wait: timedelta) -> timedelta:
    return min(max(wait, SHORTEST), LONGEST)
