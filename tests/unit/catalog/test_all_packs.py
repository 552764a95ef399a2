"""All first-party packs together against the table of the design, written out here once more by hand."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pluggy import PluginManager

from tapi_agent.domain.features import Scope
from tapi_agent.domain.quota import QuotaRule
from tapi_agent.plugin.contribution import Contribution, Declarations, collect
from tapi_agent.plugin.discovery import FIRST_PARTY, GROUP, Candidate, discover
from tapi_agent.plugin.host import PluginHost
from tapi_agent.sandbox import products

if TYPE_CHECKING:
    from collections.abc import Sequence

TABLE = {
    ("base", "Base", Scope.CAMERA): """
        cv_models: person car van truck bus motorcycle
        analytics: detection tracking counting dwell heatmap direction speed privacy_mask
        outputs: edge_io dashboard email webhook api""",
    ("advanced_analytics", "Advanced Analytics", Scope.CAMERA): """
        analytics: near_miss interaction_time queue_counter object_size""",
    ("active_transport", "Active Transport", Scope.INDUSTRY): "cv_models: bike scooter pram wheelchair",
    ("intelligence", "Intelligence", Scope.TENANT): "llm: analyst_seat_full premium_connectors automated_reports",
    ("integration", "Integration", Scope.TENANT): "outputs: sms cloud_export vms_connectors",
    ("advanced_vehicles", "Advanced Vehicles", Scope.INDUSTRY): """
        cv_models: car ute van bus light_rigid medium_rigid heavy_rigid prime_mover heavy_articulated""",
    ("emergency_vehicles", "Emergency Vehicles", Scope.INDUSTRY): "cv_models: police ambulance fire_fighter",
    ("retail", "Retail", Scope.INDUSTRY): "cv_models: trolley staff customer",
    ("mining", "Mining", Scope.INDUSTRY): "cv_models: light_vehicle heavy_vehicle ppe",
    ("airports", "Airports", Scope.INDUSTRY): "cv_models: trolley plane gse fuel_truck tug tractor belt_loader",
    ("waterways", "Waterways", Scope.INDUSTRY): """
        cv_models: boat_commercial boat_recreational boat_fishing boat_cruise boat_tanker boat_cargo jetski kayak""",
    ("data", "Data", Scope.TENANT): "storage: retention_24m retention_36m",
    ("cloud_storage", "Cloud Storage", Scope.TENANT): "outputs: cloud_backup extended_retention encrypted_storage",
    ("api_integration", "API Integration", Scope.TENANT): """
        outputs: unlimited_api webhooks custom_integrations priority_support""",
}
SHARED = {
    "cv_models.car": {"base", "advanced_vehicles"},
    "cv_models.van": {"base", "advanced_vehicles"},
    "cv_models.bus": {"base", "advanced_vehicles"},
    "cv_models.trolley": {"retail", "airports"},
}


def keys(text: str) -> set[str]:
    lines = (line.split(":") for line in text.strip().splitlines())
    return {f"{category.strip()}.{name}" for category, names in lines for name in names.split()}


@cache
def everything() -> list[tuple[Candidate, Contribution]]:
    """Every first-party plugin of this environment, and what it brings."""
    ours = [candidate for candidate in discover() if candidate.first_party]
    return [(candidate, collect(PluginManager(GROUP), candidate)) for candidate in ours]


@pytest.fixture
def installed() -> list[tuple[Candidate, Contribution]]:
    return everything()


def together(plugins: Sequence[tuple[Candidate, Contribution]]) -> Declarations:
    declarations = Declarations()
    for candidate, contribution in plugins:
        declarations = declarations.extended(candidate, contribution)
    return declarations


def test_together_they_are_the_table_of_the_design(installed: list[tuple[Candidate, Contribution]]) -> None:
    packs = together(installed).catalog.packs.values()
    found = {(pack.slug, pack.title, pack.scope): set(pack.features) for pack in packs}
    assert found == {pack: keys(features) for pack, features in TABLE.items()}


def test_the_host_loads_all_of_them() -> None:
    host = PluginHost(disabled={candidate.name for candidate in discover() if not candidate.first_party})
    host.load()
    reports = [report for report in host.report() if report.distribution in FIRST_PARTY]
    host.close()
    assert {report.name: report.error for report in reports if not report.enabled} == {}
    assert {slug for report in reports for slug in report.packs} == {slug for slug, _, _ in TABLE}


def test_the_sandbox_sells_them_too() -> None:
    sold = {"base": products.BASE, **products.PACKS}
    assert sold == {slug: keys(features) for (slug, _, _), features in TABLE.items()}


def test_a_feature_of_two_packs_is_sold_by_either(installed: list[tuple[Candidate, Contribution]]) -> None:
    offers = together(installed).catalog.offers
    assert {key: set(packs) for key, packs in offers.items() if len(packs) > 1} == SHARED


def test_a_repeat_says_exactly_the_same_of_a_meter(installed: list[tuple[Candidate, Contribution]]) -> None:
    meters = [replace(meter, every=None) for _, contribution in installed for meter in contribution.meters]
    assert {meter.key: meter for meter in meters} == {meter.key: meter for meter in reversed(meters)}


def test_a_month_includes_what_the_design_says(installed: list[tuple[Candidate, Contribution]]) -> None:
    assert set(together(installed).quotas) == {
        QuotaRule(meter="api_call", limit=50_000, soft=True),
        QuotaRule(meter="llm_tokens", limit=250_000, trial_limit=50_000),
        QuotaRule(meter="llm_tokens", limit=5 * 250_000, pack="intelligence"),
    }


def test_every_plugin_s_own_features_are_described(installed: list[tuple[Candidate, Contribution]]) -> None:
    plugins = [contribution for candidate, contribution in installed if candidate.distribution != "tapi-agent"]
    described = {feature.key: feature.description for one in plugins for feature in one.features}
    assert len(described) > 40
    assert [key for key, description in described.items() if not description[:1].isupper()] == []


@given(order=st.permutations(sorted(FIRST_PARTY - {"tapi-agent"})))
def test_the_order_of_installation_does_not_matter(order: list[str]) -> None:
    """Among themselves: the agent's own catalog is always first, and quotas of packs add to its limits."""
    installed = everything()  # no fixture: hypothesis would show all of it with every example
    some = sorted(installed, key=lambda one: ["tapi-agent", *order].index(one[0].distribution))
    catalog, expected = together(some).catalog, together(installed).catalog
    assert catalog.features == expected.features
    assert catalog.packs == expected.packs
    assert catalog.aliases == expected.aliases
    assert {key: set(packs) for key, packs in catalog.offers.items()} == {
        key: set(packs) for key, packs in expected.offers.items()
    }
