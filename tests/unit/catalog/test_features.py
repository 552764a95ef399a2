from __future__ import annotations

import pytest

from tapi_agent.domain.errors import InvalidInputError
from tapi_agent.domain.features import Feature, GrowthPack, Tier


@pytest.mark.parametrize("key", ["analytics.heatmap", "cv_models.light_rigid", "storage.retention_24m", "_._", "0.1"])
def test_feature_keys_are_category_and_name(key: str) -> None:
    assert Feature(key=key).key == key


@pytest.mark.parametrize(
    "key", ["", "heatmap", "Analytics.heatmap", "a.b.c", "a.", ".b", "a b.c", "a.b\n", "a-b.c", "analytics.hütte"]
)
def test_other_keys_are_refused_with_the_form_that_is_wanted(key: str) -> None:
    with pytest.raises(InvalidInputError, match="does not match") as refused:
        Feature(key=key)
    assert refused.value.code == "feature_key"
    assert "category.name" in refused.value.fix


def test_a_description_is_no_part_of_a_features_meaning() -> None:
    assert Feature(key="a.b", description="one") == Feature(key="a.b", description="another")
    assert Feature(key="a.b") != Feature(key="a.b", min_tier=Tier.BASIC)


@pytest.mark.parametrize("slug", ["base", "advanced_analytics", "pack_2"])
def test_pack_slugs_are_normalized_names(slug: str) -> None:
    assert GrowthPack(slug=slug, title="Any", features=frozenset()).slug == slug


@pytest.mark.parametrize("slug", ["", "Base", "advanced analytics", "advanced-analytics", "_base", "base_", "a__b"])
def test_other_slugs_are_refused(slug: str) -> None:
    with pytest.raises(InvalidInputError, match="does not match") as refused:
        GrowthPack(slug=slug, title="Any", features=frozenset())
    assert refused.value.code == "pack_slug"


def test_tiers_have_an_order() -> None:
    assert [tier.rank for tier in (Tier.BASIC, Tier.STANDARD, Tier.PROFESSIONAL)] == [0, 1, 2]
