"""What the service sells: the features in each pack (3-entitlements-and-plugins). Data of the seller, not of the agent.

A pack that is not listed can be sold and is named to the agent all the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

BASE: Final = frozenset(
    {
        *(f"cv_models.{name}" for name in ("person", "car", "van", "truck", "bus", "motorcycle")),
        *(
            f"analytics.{name}"
            for name in ("detection", "tracking", "counting", "dwell", "heatmap", "direction", "speed", "privacy_mask")
        ),
        *(f"outputs.{name}" for name in ("edge_io", "dashboard", "email", "webhook", "api")),
    }
)
"""Part of every license."""

_SOLD: Final = {
    "advanced_analytics": ("analytics", "near_miss interaction_time queue_counter object_size"),
    "active_transport": ("cv_models", "bike scooter pram wheelchair"),
    "intelligence": ("llm", "analyst_seat_full premium_connectors automated_reports"),
    "integration": ("outputs", "sms cloud_export vms_connectors"),
    "advanced_vehicles": (
        "cv_models",
        "car ute van bus light_rigid medium_rigid heavy_rigid prime_mover heavy_articulated",
    ),
    "emergency_vehicles": ("cv_models", "police ambulance fire_fighter"),
    "retail": ("cv_models", "trolley staff customer"),
    "mining": ("cv_models", "light_vehicle heavy_vehicle ppe"),
    "airports": ("cv_models", "trolley plane gse fuel_truck tug tractor belt_loader"),
    "waterways": (
        "cv_models",
        "boat_commercial boat_recreational boat_fishing boat_cruise boat_tanker boat_cargo jetski kayak",
    ),
    "data": ("storage", "retention_24m retention_36m"),
    "cloud_storage": ("outputs", "cloud_backup extended_retention encrypted_storage"),
    "api_integration": ("outputs", "unlimited_api webhooks custom_integrations priority_support"),
}

PACKS: Final = {
    slug: frozenset(f"{category}.{name}" for name in names.split()) for slug, (category, names) in _SOLD.items()
}
"""By slug."""
FEATURES: Final = BASE.union(*PACKS.values())
"""Every feature that some product has."""


_QUOTAS: Final = {
    "outputs.api": ("api_call", 50_000),
    **dict.fromkeys(PACKS["intelligence"], ("llm_tokens", 250_000)),
}
_TRIAL_TOKENS: Final = 50_000
_SEATS, _TOKENS_A_SEAT = 5, 250_000


def included(feature: str, packs: Iterable[str], *, trial: bool) -> tuple[str, int] | None:
    """The meter that the use of a feature runs on and what a month includes of it; ``None``: it is not limited."""
    meter, limit = _QUOTAS.get(feature, (None, 0))
    if meter == "llm_tokens":
        limit = _TRIAL_TOKENS if trial else limit
        limit += _SEATS * _TOKENS_A_SEAT if "intelligence" in map(_slug, packs) else 0
    return None if meter is None else (meter, limit)


def sells(packs: Iterable[str], feature: str) -> bool:
    """Whether a license with ``packs``, named by slug or by title, holds ``feature`` (``category.name``)."""
    return feature in BASE or any(feature in PACKS.get(slug, ()) for slug in map(_slug, packs))


def _slug(pack: str) -> str:
    return pack.strip().lower().replace(" ", "_")
