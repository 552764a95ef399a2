"""The contract's calls on licenses: validate, entitlements, heartbeat, the license report. Classic and extension."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from starlette.routing import Route

from tapi_agent.sandbox import features, subscriptions, wire
from tapi_agent.sandbox.access import require_own
from tapi_agent.sandbox.interference import misbehavior_of, refuse_extension, server_time
from tapi_agent.sandbox.replies import ExactJSON
from tapi_agent.sandbox.subscriptions import TENANT_ITSELF, Subscription

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable
    from datetime import datetime

    from starlette.requests import Request
    from starlette.responses import Response

    from tapi_agent.sandbox.ledger import Ledger

_HEARTBEAT_SECONDS: Final = 900


class LicensesApi:
    """Handlers; ``now`` is the service's clock."""

    def __init__(self, ledger: Ledger, now: Callable[[], datetime]) -> None:
        self._ledger = ledger
        self._now = now

    def routes(self) -> list[Route]:
        """Paths below /api/v1."""
        return [
            Route("/licenses/validate", self.validate, methods=["POST"]),
            Route("/entitlements/check", self.check_entitlement, methods=["POST"]),
            Route("/heartbeat", self.heartbeat, methods=["POST"]),
            Route("/billing/license/{tenant_id:path}", self.license_report),
            Route("/billing/growth-packs/{tenant_id:path}", self.growth_packs),
        ]

    async def validate(self, request: Request) -> Response:
        """The word on one camera. An unknown one takes a free place of its tenant's subscription."""
        body = await request.body()
        asked = wire.read(wire.ValidateRequest, body)
        require_own(request, asked.tenant_id)
        refuse_extension(request, wire.VALIDATE_EXTENSION & wire.members(body).keys())
        now = self._now()
        held, sequence = await self._ledger.write(_license_word, asked.tenant_id, asked.camera_id)
        return ExactJSON(_classic_word(held, now) | _extension(request, held, sequence, now))

    async def check_entitlement(self, request: Request) -> Response:
        """The word on one feature of the tenant."""
        asked = wire.read(wire.EntitlementRequest, await request.body())
        require_own(request, asked.tenant_id)
        feature = f"{asked.feature_category}.{asked.feature_name}"
        return ExactJSON(await self._ledger.read(features.entitlement, asked.tenant_id, feature, self._now()))

    async def heartbeat(self, request: Request) -> Response:
        """A sign of life; nothing is kept of it."""
        asked = wire.read(wire.HeartbeatRequest, await request.body())
        require_own(request, asked.tenant_id)
        return ExactJSON({"status": "ok", "next_heartbeat_in_seconds": _HEARTBEAT_SECONDS})

    async def license_report(self, request: Request) -> Response:
        """The tenant's license and that of each of its cameras."""
        tenant_id = request.path_params["tenant_id"]
        require_own(request, tenant_id)
        return ExactJSON(await self._ledger.read(_license_report, tenant_id, self._now()))

    async def growth_packs(self, request: Request) -> Response:
        """The packs of the tenant itself."""
        tenant_id = request.path_params["tenant_id"]
        require_own(request, tenant_id)
        held = await self._ledger.read(subscriptions.license_of, tenant_id, TENANT_ITSELF)
        return ExactJSON({"enabled_packs": _or_null(held.packs)})


def _extension(request: Request, held: Subscription, sequence: int, now: datetime) -> dict[str, object]:
    """What the extension adds to a validate reply. A signed ``lease`` will have its place here."""
    if misbehavior_of(request).classic_only:
        return {}
    return {"status": held.as_of(now).status, "sequence": sequence, "server_time": server_time(request, now)}


def _license_word(db: sqlite3.Connection, tenant_id: str, camera_id: str) -> tuple[Subscription, int]:
    subscriptions.register(db, tenant_id, camera_id)
    return subscriptions.license_of(db, tenant_id, camera_id), subscriptions.sequence(db, tenant_id)


def _license_report(db: sqlite3.Connection, tenant_id: str, now: datetime) -> dict[str, object]:
    cameras = subscriptions.cameras(db, tenant_id)
    held = subscriptions.license_of(db, tenant_id, TENANT_ITSELF)
    return _classic_word(held, now) | {
        "active_cameras": len(cameras),
        "days_remaining": held.days_remaining(now),
        "cameras": [_camera_report(camera, subscriptions.license_of(db, tenant_id, camera), now) for camera in cameras],
    }


def _camera_report(camera_id: str, held: Subscription, now: datetime) -> dict[str, object]:
    word = _classic_word(held, now)
    return {
        "camera_id": camera_id,
        "mode": word["license_mode"],
        **{name: word[name] for name in ("is_valid", "valid_until", "enabled_growth_packs")},
    }


def _classic_word(held: Subscription, now: datetime) -> dict[str, object]:
    return {
        "is_valid": held.is_valid(now),
        "license_mode": held.as_of(now).mode,
        "enabled_growth_packs": _or_null(held.packs),
        "valid_until": held.valid_until,
        "cameras_allowed": held.cameras_allowed,
    }


def _or_null(packs: tuple[str, ...]) -> tuple[str, ...] | None:
    """The service of today says null when there are none."""
    return packs or None
