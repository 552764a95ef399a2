"""Data as the agent loads it: what it sells, under which names, and to whom it denies it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tapi_agent.domain.decision import DecisionReason

if TYPE_CHECKING:
    from tapi_agent.testing.shop import Shop

FEATURES = {
    "storage.retention_24m",
    "storage.retention_36m",
}


def test_its_entry_point_brings_the_pack(shop: Shop) -> None:
    assert (shop.report.distribution, shop.report.error) == ("tapi-agent-data", None)
    pack = shop.catalog.packs["data"]
    assert (pack.title, pack.scope, pack.features) == ("Data", "tenant", FEATURES)


@pytest.mark.parametrize("name", ["data", "Data"])
def test_slug_and_title_bring_every_feature(shop: Shop, name: str) -> None:
    decisions = shop.decisions(FEATURES, packs=[name])
    assert {(one.reason, one.source_pack) for one in decisions} == {(DecisionReason.LICENSED, "data")}


@pytest.mark.parametrize("packs", [[], ["Data Plus"]], ids=["nothing bought", "a pack nobody knows"])
def test_without_it_the_denial_names_it(shop: Shop, packs: list[str]) -> None:
    decisions = shop.decisions(FEATURES, packs=packs)
    assert {(one.reason, one.packs) for one in decisions} == {(DecisionReason.PACK_REQUIRED, ("data",))}
