"""Advanced Vehicles: the vehicle classes that traffic engineers count.

Declares what can be bought; who holds it is decided by the license. The agent finds it by its entry point.
"""

from __future__ import annotations

from tapi_agent.plugin import Feature, GrowthPack, Scope, hookimpl

FEATURES = [
    Feature(key="cv_models.car", description="Recognizes cars"),
    Feature(key="cv_models.ute", description="Recognizes utes, also called pickups"),
    Feature(key="cv_models.van", description="Recognizes vans"),
    Feature(key="cv_models.bus", description="Recognizes buses"),
    Feature(key="cv_models.light_rigid", description="Recognizes light rigid trucks"),
    Feature(key="cv_models.medium_rigid", description="Recognizes medium rigid trucks"),
    Feature(key="cv_models.heavy_rigid", description="Recognizes heavy rigid trucks"),
    Feature(key="cv_models.prime_mover", description="Recognizes prime movers without a trailer"),
    Feature(key="cv_models.heavy_articulated", description="Recognizes heavy articulated trucks"),
]
PACK = GrowthPack(
    slug="advanced_vehicles",
    title="Advanced Vehicles",
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
