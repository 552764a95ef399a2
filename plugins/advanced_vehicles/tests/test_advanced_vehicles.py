"""Advanced Vehicles as the agent loads it: what it sells, under which names, and to whom it denies it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tapi_agent.domain.decision import DecisionReason

if TYPE_CHECKING:
    from tapi_agent.testing.shop import Shop

FEATURES = {
    "cv_models.car",
    "cv_models.ute",
    "cv_models.van",
    "cv_models.bus",
    "cv_models.light_rigid",
    "cv_models.medium_rigid",
    "cv_models.heavy_rigid",
    "cv_models.prime_mover",
    "cv_models.heavy_articulated",
}
ALSO_IN_BASE = {"cv_models.car", "cv_models.van", "cv_models.bus"}


def test_its_entry_point_brings_the_pack(shop: Shop) -> None:
    assert (shop.report.distribution, shop.report.error) == ("tapi-agent-advanced-vehicles", None)
    pack = shop.catalog.packs["advanced_vehicles"]
    assert (pack.title, pack.scope, pack.features) == ("Advanced Vehicles", "industry", FEATURES)


@pytest.mark.parametrize("name", ["advanced_vehicles", "Advanced Vehicles"])
def test_slug_and_title_bring_every_feature(shop: Shop, name: str) -> None:
    decisions = shop.decisions(FEATURES - ALSO_IN_BASE, packs=[name])
    assert {(one.reason, one.source_pack) for one in decisions} == {(DecisionReason.LICENSED, "advanced_vehicles")}


@pytest.mark.parametrize("packs", [[], ["Advanced Vehicles Plus"]], ids=["nothing bought", "a pack nobody knows"])
def test_without_it_the_denial_names_it(shop: Shop, packs: list[str]) -> None:
    decisions = shop.decisions(FEATURES - ALSO_IN_BASE, packs=packs)
    assert {(one.reason, one.packs) for one in decisions} == {(DecisionReason.PACK_REQUIRED, ("advanced_vehicles",))}


def test_what_base_brings_too_comes_from_either(shop: Shop) -> None:
    offers = {shop.catalog.offering(shop.catalog.features[key]) for key in ALSO_IN_BASE}
    assert offers == {("base", "advanced_vehicles")}
