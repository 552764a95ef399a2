from __future__ import annotations

import pytest

from tapi_agent.domain.catalog import Catalog, Declaration
from tapi_agent.domain.errors import RejectedError
from tapi_agent.domain.features import Feature, GrowthPack, OnExpired, Scope

HEATMAP = Feature(key="analytics.heatmap")
TROLLEY = Feature(key="cv_models.trolley")
ANALYTICS = GrowthPack(slug="advanced_analytics", title="Advanced Analytics", features=frozenset({HEATMAP.key}))
RETAIL = GrowthPack(slug="retail", title="Retail", features=frozenset({TROLLEY.key}))


def declared(*values: Feature | GrowthPack, source: str = "first", first_party: bool = False) -> Declaration:
    return Declaration(
        source=source,
        first_party=first_party,
        features=tuple(value for value in values if isinstance(value, Feature)),
        packs=tuple(value for value in values if isinstance(value, GrowthPack)),
    )


@pytest.fixture
def catalog() -> Catalog:
    return Catalog().extended(declared(HEATMAP, ANALYTICS))


def test_declarations_add_up_and_remember_who_came_first(catalog: Catalog) -> None:
    both = catalog.extended(declared(TROLLEY, RETAIL, source="second"))
    assert list(both.features) == ["analytics.heatmap", "cv_models.trolley"]
    assert list(both.packs) == ["advanced_analytics", "retail"]
    assert both.sources == {
        "analytics.heatmap": "first",
        "advanced_analytics": "first",
        "cv_models.trolley": "second",
        "retail": "second",
    }
    assert "cv_models.trolley" not in catalog.features, "the old catalog is a value"


@pytest.mark.parametrize("first_party", [True, False], ids=["first-party", "third-party"])
def test_an_exact_repeat_is_welcome_and_changes_nothing(catalog: Catalog, *, first_party: bool) -> None:
    repeat = catalog.extended(declared(HEATMAP, ANALYTICS, source="second", first_party=first_party))
    assert (repeat.features, repeat.packs, repeat.sources) == (catalog.features, catalog.packs, catalog.sources)


CONFLICTS = {
    "feature with another meaning": (
        declared(Feature(key=HEATMAP.key, on_expired=OnExpired.KEEP), source="x"),
        "analytics.heatmap is already declared by first with another meaning",
    ),
    "feature twice in one plugin": (
        declared(TROLLEY, Feature(key=TROLLEY.key, on_expired=OnExpired.KEEP), source="x"),
        "cv_models.trolley is already declared by the same plugin with another meaning",
    ),
    "pack with another meaning": (
        declared(GrowthPack(slug=ANALYTICS.slug, title="Advanced Analytics", features=frozenset()), source="x"),
        "advanced_analytics is already declared by first with another meaning",
    ),
    "pack under another's title": (
        declared(GrowthPack(slug="free", title="advanced-ANALYTICS", features=frozenset()), source="x"),
        "packs advanced_analytics and free share the name 'advanced_analytics'",
    ),
    "pack whose title is another's slug": (
        declared(
            GrowthPack(slug="aaa", title="advanced analytics", features=frozenset()), source="x", first_party=True
        ),
        "packs advanced_analytics and aaa share the name 'advanced_analytics'",
    ),
    "unknown feature in a pack": (
        declared(RETAIL, source="x"),
        "pack retail lists the unknown feature cv_models.trolley",
    ),
    "unknown pack required": (
        declared(Feature(key="a.b", requires_pack="nowhere"), source="x"),
        "feature a.b requires the unknown pack nowhere",
    ),
    "another's feature for sale": (
        declared(GrowthPack(slug="cheap", title="Cheap", features=frozenset({HEATMAP.key})), source="x"),
        "pack cheap sells analytics.heatmap, which belongs to first",
    ),
    "another's feature repeated, then for sale": (
        declared(HEATMAP, GrowthPack(slug="cheap", title="Cheap", features=frozenset({HEATMAP.key})), source="x"),
        "pack cheap sells analytics.heatmap, which belongs to first",
    ),
}


@pytest.mark.parametrize(("declaration", "message"), CONFLICTS.values(), ids=CONFLICTS)
def test_a_conflict_is_refused_and_names_both_sides(catalog: Catalog, declaration: Declaration, message: str) -> None:
    with pytest.raises(RejectedError) as refused:
        catalog.extended(declaration)
    assert str(refused.value) == message
    assert refused.value.code == "catalog_conflict"


def test_a_first_party_plugin_may_sell_a_feature_of_another(catalog: Catalog) -> None:
    bundle = GrowthPack(slug="bundle", title="Bundle", features=frozenset({HEATMAP.key}))
    grown = catalog.extended(declared(bundle, source="ours", first_party=True))
    assert grown.offering(HEATMAP) == ("advanced_analytics", "bundle")


def test_a_required_pack_is_the_only_one_that_unlocks(catalog: Catalog) -> None:
    feature = Feature(key="processor.age", requires_pack=ANALYTICS.slug)
    assert catalog.extended(declared(feature)).offering(feature) == ("advanced_analytics",)


@pytest.mark.parametrize(
    "name",
    ["advanced_analytics", "Advanced Analytics", "advanced-analytics", " ADVANCED  analytics ", "Advanced_-_Analytics"],
)
def test_the_service_may_write_a_slug_or_a_title(catalog: Catalog, name: str) -> None:
    assert catalog.resolve([name]) == ({"advanced_analytics"}, frozenset())


@pytest.mark.parametrize("name", ["", " ", "advanced_analytics+", "advanced", "Базовый advanced_analytics", "\x00"])
def test_an_unknown_name_is_reported_and_grants_nothing(catalog: Catalog, name: str) -> None:
    assert catalog.resolve([name, "Advanced Analytics"]) == ({"advanced_analytics"}, {name})


def test_a_title_that_differs_from_the_slug_is_a_name_of_its_own() -> None:
    tenant = GrowthPack(slug="intelligence", title="LLM & Insights", scope=Scope.TENANT, features=frozenset())
    known, unknown = Catalog().extended(declared(tenant)).resolve(["llm & insights", "insights"])
    assert (known, unknown) == ({"intelligence"}, {"insights"})
