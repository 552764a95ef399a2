"""The base catalog against the table of the design, written out here once more by hand."""

from __future__ import annotations

import pytest

from tapi_agent.domain.catalog import Catalog, Declaration
from tapi_agent.domain.features import Feature, OnExpired, Scope, Tier
from tapi_agent.domain.license import LicenseMode
from tapi_agent.plugin import base_catalog

TABLE = {
    "base": {
        "cv_models.person", "cv_models.car", "cv_models.van", "cv_models.truck", "cv_models.bus",
        "cv_models.motorcycle",
        "analytics.detection", "analytics.tracking", "analytics.counting", "analytics.dwell", "analytics.heatmap",
        "analytics.direction", "analytics.speed", "analytics.privacy_mask",
        "outputs.edge_io", "outputs.dashboard", "outputs.email", "outputs.webhook", "outputs.api",
    },
    "advanced_analytics": {
        "analytics.near_miss", "analytics.interaction_time", "analytics.queue_counter", "analytics.object_size",
    },
    "active_transport": {"cv_models.bike", "cv_models.scooter", "cv_models.pram", "cv_models.wheelchair"},
    "intelligence": {"llm.analyst_seat_full", "llm.premium_connectors", "llm.automated_reports"},
    "integration": {"outputs.sms", "outputs.cloud_export", "outputs.vms_connectors"},
}  # fmt: skip
COMPONENTS = {
    Tier.BASIC: {"source.rtsp", "source.file", "processor.object_classification", "sink.file"},
    Tier.STANDARD: {"processor.object_detection", "processor.age_gender_detection"},
    Tier.PROFESSIONAL: {
        "source.usb", "source.http", "processor.object_tracking", "processor.line_zone_manager",
        "processor.face_recognition", "processor.motion_detection", "processor.polygon_zone_manager",
        "sink.rtmp", "sink.database", "sink.websocket", "sink.mqtt",
    },
}  # fmt: skip
METERS = {
    "api_call": "calls", "llm_tokens": "tokens", "storage_gb_days": "gb_days", "sms_sent": "count",
    "agent_execution": "count", "cloud_export_gb": "gb", "webhook_call": "count", "email_sent": "count",
}  # fmt: skip


@pytest.fixture(scope="module")
def catalog() -> Catalog:
    return Catalog().extended(
        Declaration(
            source="base-catalog",
            first_party=True,
            features=tuple(base_catalog.register_features()),
            packs=tuple(base_catalog.register_packs()),
        )
    )


def test_the_packs_sell_the_33_features_of_the_table(catalog: Catalog) -> None:
    assert {slug: set(pack.features) for slug, pack in catalog.packs.items()} == TABLE
    assert len(set().union(*TABLE.values())) == 33


def test_scopes(catalog: Catalog) -> None:
    scopes = {slug: pack.scope for slug, pack in catalog.packs.items()}
    assert scopes["intelligence"] is Scope.TENANT
    assert scopes["active_transport"] is Scope.INDUSTRY
    assert scopes["base"] is scopes["advanced_analytics"] is Scope.CAMERA


def test_every_other_feature_is_a_component_of_its_tier(catalog: Catalog) -> None:
    sold = set().union(*TABLE.values())
    components = {key: feature.min_tier for key, feature in catalog.features.items() if key not in sold}
    assert components == {key: tier for tier, keys in COMPONENTS.items() for key in keys}
    assert all(catalog.features[key].min_tier is None for key in sold)


def test_the_further_rules_of_components(catalog: Catalog) -> None:
    need_base = {key for key, feature in catalog.features.items() if feature.min_mode is LicenseMode.BASE}
    need_pack = {key: feature.requires_pack for key, feature in catalog.features.items() if feature.requires_pack}
    assert need_base == {"processor.line_zone_manager", "processor.polygon_zone_manager"}
    assert need_pack == {"processor.age_gender_detection": "active_transport"}


def test_only_the_privacy_mask_outlives_a_license(catalog: Catalog) -> None:
    kept = {key for key, feature in catalog.features.items() if feature.on_expired is OnExpired.KEEP}
    assert kept == {"analytics.privacy_mask"}


def test_the_service_may_use_titles(catalog: Catalog) -> None:
    titles = ["Base", "Advanced Analytics", "Active Transport", "Intelligence", "Integration"]
    assert catalog.resolve(titles) == (set(TABLE), frozenset())


def test_meters_are_the_event_types_and_units_of_the_contract() -> None:
    assert {meter.key: meter.unit for meter in base_catalog.register_meters()} == METERS


def test_each_feature_is_declared_once() -> None:
    keys = [feature.key for feature in base_catalog.register_features()]
    assert len(keys) == len(set(keys))
    assert all(isinstance(feature, Feature) for feature in base_catalog.register_features())
