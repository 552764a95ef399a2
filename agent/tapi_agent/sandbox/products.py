"""What the service sells: the features in each pack (3-entitlements-and-plugins). Data of the seller, not of the agent.

The packs of the base catalog are here; a pack that is not listed can be sold and is named to the agent all the same.
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

PACKS: Final = {
    "advanced_analytics": frozenset(
        f"analytics.{name}" for name in ("near_miss", "interaction_time", "queue_counter", "object_size")
    ),
    "active_transport": frozenset(f"cv_models.{name}" for name in ("bike", "scooter", "pram", "wheelchair")),
    "intelligence": frozenset(
        f"llm.{name}" for name in ("analyst_seat_full", "premium_connectors", "automated_reports")
    ),
    "integration": frozenset(f"outputs.{name}" for name in ("sms", "cloud_export", "vms_connectors")),
}


def sells(packs: Iterable[str], feature: str) -> bool:
    """Whether a license with ``packs``, named by slug or by title, holds ``feature`` (``category.name``)."""
    slugs = (pack.strip().lower().replace(" ", "_") for pack in packs)
    return feature in BASE or any(feature in PACKS.get(slug, ()) for slug in slugs)
