"""Data: records kept for two or three years.

Declares what can be bought; who holds it is decided by the license. The agent finds it by its entry point.
"""

from __future__ import annotations

from tapi_agent.plugin import Feature, GrowthPack, Scope, hookimpl

FEATURES = [
    Feature(key="storage.retention_24m", description="Keeps records for 24 months"),
    Feature(key="storage.retention_36m", description="Keeps records for 36 months"),
]
PACK = GrowthPack(
    slug="data",
    title="Data",
    scope=Scope.TENANT,
    features=frozenset(feature.key for feature in FEATURES),
)


@hookimpl
def register_features() -> list[Feature]:
    """What the pack sells."""
    return FEATURES


@hookimpl
def register_packs() -> list[GrowthPack]:
    """The pack itself."""
    return [PACK]
