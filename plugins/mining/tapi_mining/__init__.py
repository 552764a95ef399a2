"""Mining: vehicles and protective equipment on a mine site.

Declares what can be bought; who holds it is decided by the license. The agent finds it by its entry point.
"""

from __future__ import annotations

from tapi_agent.plugin import Feature, GrowthPack, Scope, hookimpl

FEATURES = [
    Feature(key="cv_models.light_vehicle", description="Recognizes light vehicles of a mine"),
    Feature(key="cv_models.heavy_vehicle", description="Recognizes heavy vehicles of a mine"),
    Feature(key="cv_models.ppe", description="Recognizes personal protective equipment"),
]
PACK = GrowthPack(
    slug="mining",
    title="Mining",
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
