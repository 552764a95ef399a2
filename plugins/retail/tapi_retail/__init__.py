"""Retail: what a camera in a shop tells apart.

Declares what can be bought; who holds it is decided by the license. The agent finds it by its entry point.
"""

from __future__ import annotations

from tapi_agent.plugin import Feature, GrowthPack, Scope, hookimpl

FEATURES = [
    Feature(key="cv_models.trolley", description="Recognizes trolleys"),
    Feature(key="cv_models.staff", description="Tells staff from other people"),
    Feature(key="cv_models.customer", description="Tells customers from other people"),
]
PACK = GrowthPack(
    slug="retail",
    title="Retail",
    scope=Scope.INDUSTRY,
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
