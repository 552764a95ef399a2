"""What a subscription is in the contract's words: the members of replies about licenses, classic and extension."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tapi_agent.sandbox.subscriptions import TENANT_ITSELF

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from tapi_agent.sandbox.subscriptions import Subscription


def classic(held: Subscription, now: datetime) -> dict[str, object]:
    """As today's service says it about one camera or the tenant itself."""
    return {
        "is_valid": held.is_valid(now),
        "license_mode": held.as_of(now).mode,
        "enabled_growth_packs": or_null(held.packs),
        "valid_until": held.valid_until,
        "cameras_allowed": held.cameras_allowed,
    }


def extension(held: Subscription, sequence: int, *, now: datetime, server_time: str) -> dict[str, object]:
    """What the extension adds to that, beside a lease."""
    return {"status": held.as_of(now).status, "sequence": sequence, "server_time": server_time}


def report(licenses: Mapping[str, Subscription], now: datetime, *, extended: bool) -> dict[str, object]:
    """The tenant's license and those of its cameras, by id; ``extended``: with the status of each."""
    held = licenses[TENANT_ITSELF]
    cameras = [_camera(one, its, now, extended=extended) for one, its in licenses.items() if one != TENANT_ITSELF]
    return classic(held, now) | {
        "active_cameras": len(cameras),
        "days_remaining": held.days_remaining(now),
        "cameras": cameras,
    }


def or_null(packs: tuple[str, ...]) -> tuple[str, ...] | None:
    """The service of today says null when there are none."""
    return packs or None


def _camera(camera_id: str, held: Subscription, now: datetime, *, extended: bool) -> dict[str, object]:
    shown = held.as_of(now)
    word = {
        "camera_id": camera_id,
        "mode": shown.mode,
        "is_valid": held.is_valid(now),
        "valid_until": held.valid_until,
        "enabled_growth_packs": or_null(held.packs),
    }
    return word | {"status": shown.status} if extended else word
