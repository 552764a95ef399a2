"""The base catalog: the features and packs that are always for sale, the components, and the built-in meters.

A plugin like any other, loaded through the same entry point. Prices are configuration; further packs are plugins.
"""

from __future__ import annotations

from tapi_agent.plugin import Feature, GrowthPack, LicenseMode, Meter, OnExpired, QuotaRule, Scope, Tier, hookimpl

KEPT = {"analytics.privacy_mask"}
"""A lapsed license must not unmask people."""


def _keys(category: str, names: str) -> frozenset[str]:
    return frozenset(f"{category}.{name}" for name in names.split())


PACKS = [
    GrowthPack(
        slug="base",
        title="Base",
        features=_keys("cv_models", "person car van truck bus motorcycle")
        | _keys("analytics", "detection tracking counting dwell heatmap direction speed privacy_mask")
        | _keys("outputs", "edge_io dashboard email webhook api"),
    ),
    GrowthPack(
        slug="advanced_analytics",
        title="Advanced Analytics",
        features=_keys("analytics", "near_miss interaction_time queue_counter object_size"),
    ),
    GrowthPack(
        slug="active_transport",
        title="Active Transport",
        scope=Scope.INDUSTRY,
        features=_keys("cv_models", "bike scooter pram wheelchair"),
    ),
    GrowthPack(
        slug="intelligence",
        title="Intelligence",
        scope=Scope.TENANT,
        features=_keys("llm", "analyst_seat_full premium_connectors automated_reports"),
    ),
    GrowthPack(
        slug="integration",
        title="Integration",
        scope=Scope.TENANT,
        features=_keys("outputs", "sms cloud_export vms_connectors"),
    ),
]

COMPONENTS = [
    Feature(key="source.rtsp", min_tier=Tier.BASIC),
    Feature(key="source.file", min_tier=Tier.BASIC),
    Feature(key="source.usb", min_tier=Tier.PROFESSIONAL),
    Feature(key="source.http", min_tier=Tier.PROFESSIONAL),
    Feature(key="processor.object_classification", min_tier=Tier.BASIC),
    Feature(key="processor.object_detection", min_tier=Tier.STANDARD),
    Feature(key="processor.age_gender_detection", min_tier=Tier.STANDARD, requires_pack="active_transport"),
    Feature(key="processor.object_tracking", min_tier=Tier.PROFESSIONAL),
    Feature(key="processor.line_zone_manager", min_tier=Tier.PROFESSIONAL, min_mode=LicenseMode.BASE),
    Feature(key="processor.face_recognition", min_tier=Tier.PROFESSIONAL),
    Feature(key="processor.motion_detection", min_tier=Tier.PROFESSIONAL),
    Feature(key="processor.polygon_zone_manager", min_tier=Tier.PROFESSIONAL, min_mode=LicenseMode.BASE),
    Feature(key="sink.file", min_tier=Tier.BASIC),
    Feature(key="sink.rtmp", min_tier=Tier.PROFESSIONAL),
    Feature(key="sink.database", min_tier=Tier.PROFESSIONAL),
    Feature(key="sink.websocket", min_tier=Tier.PROFESSIONAL),
    Feature(key="sink.mqtt", min_tier=Tier.PROFESSIONAL),
]

METERS = [
    Meter(key="api_call", unit="calls", switch="TRACK_API_CALLS", description="requests to an application's API"),
    Meter(key="llm_tokens", unit="tokens", switch="TRACK_LLM_TOKENS", description="tokens used by language models"),
    Meter(key="storage_gb_days", unit="gb_days", switch="TRACK_STORAGE", description="gigabytes kept for a day"),
    Meter(key="sms_sent", unit="count", switch="TRACK_SMS", description="text messages sent"),
    Meter(key="agent_execution", unit="count", switch="TRACK_AGENT_EXECUTIONS", description="runs of an agent"),
    Meter(key="cloud_export_gb", unit="gb", switch="TRACK_CLOUD_EXPORT", description="gigabytes exported to the cloud"),
    Meter(key="webhook_call", unit="count", switch="TRACK_WEBHOOKS", description="webhooks called"),
    Meter(key="email_sent", unit="count", switch="TRACK_EMAIL", description="emails sent"),
]


CONSUMES = {
    "outputs.api": "api_call",
    "outputs.email": "email_sent",
    "outputs.webhook": "webhook_call",
    "outputs.sms": "sms_sent",
    "outputs.cloud_export": "cloud_export_gb",
    "llm.analyst_seat_full": "llm_tokens",
    "llm.premium_connectors": "llm_tokens",
    "llm.automated_reports": "llm_tokens",
}
"""Which meter the use of a feature runs on."""

QUOTAS = [
    QuotaRule(meter="api_call", limit=50_000, soft=True),
    QuotaRule(meter="llm_tokens", limit=250_000, trial_limit=50_000),
]


def _sold(key: str) -> Feature:
    on_expired = OnExpired.KEEP if key in KEPT else OnExpired.STOP
    return Feature(key=key, on_expired=on_expired, meter=CONSUMES.get(key))


@hookimpl
def register_features() -> list[Feature]:
    """What the packs sell, and the components."""
    return [*(_sold(key) for pack in PACKS for key in sorted(pack.features)), *COMPONENTS]


@hookimpl
def register_packs() -> list[GrowthPack]:
    """Base and the four packs that come with it."""
    return PACKS


@hookimpl
def register_meters() -> list[Meter]:
    """The event types of the billing contract."""
    return METERS


@hookimpl
def register_quotas() -> list[QuotaRule]:
    """What a month includes."""
    return QUOTAS
