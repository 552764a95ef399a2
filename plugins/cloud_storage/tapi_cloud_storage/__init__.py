"""Cloud Storage: a copy in the cloud, kept longer, encrypted.

Declares what can be bought; who holds it is decided by the license. The agent finds it by its entry point.
"""

from __future__ import annotations

from tapi_agent.plugin import Feature, GrowthPack, Scope, hookimpl

FEATURES = [
    Feature(key="outputs.cloud_backup", description="Backs up to the cloud"),
    Feature(key="outputs.extended_retention", description="Keeps what is in the cloud for longer"),
    Feature(key="outputs.encrypted_storage", description="Encrypts what is in the cloud"),
]
PACK = GrowthPack(
    slug="cloud_storage",
    title="Cloud Storage",
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
