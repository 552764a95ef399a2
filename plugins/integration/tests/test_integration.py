"""Integration as the agent loads it: what it sells, under which names, and to whom it denies it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

import tapi_integration
from tapi_agent.domain.decision import DecisionReason

if TYPE_CHECKING:
    from tapi_agent.testing.shop import Shop

FEATURES = {
    "outputs.sms",
    "outputs.cloud_export",
    "outputs.vms_connectors",
}


def test_its_entry_point_brings_the_pack(shop: Shop) -> None:
    assert (shop.report.distribution, shop.report.error) == ("tapi-agent-integration", None)
    pack = shop.catalog.packs["integration"]
    assert (pack.title, pack.scope, pack.features) == ("Integration", "tenant", FEATURES)


@pytest.mark.parametrize("name", ["integration", "Integration"])
def test_slug_and_title_bring_every_feature(shop: Shop, name: str) -> None:
    decisions = shop.decisions(FEATURES, packs=[name])
    assert {(one.reason, one.source_pack) for one in decisions} == {(DecisionReason.LICENSED, "integration")}


@pytest.mark.parametrize("packs", [[], ["Integration Plus"]], ids=["nothing bought", "a pack nobody knows"])
def test_without_it_the_denial_names_it(shop: Shop, packs: list[str]) -> None:
    decisions = shop.decisions(FEATURES, packs=packs)
    assert {(one.reason, one.packs) for one in decisions} == {(DecisionReason.PACK_REQUIRED, ("integration",))}


def test_it_repeats_the_agent_s_own_meters(shop: Shop) -> None:
    assert shop.report.meters == ("sms_sent", "cloud_export_gb")
    assert tapi_integration.register_meters() == [shop.declarations.meters[key] for key in shop.report.meters]


def test_what_its_features_consume(shop: Shop) -> None:
    consumed = {decision.feature: decision.meter for decision in shop.decisions(FEATURES, packs=["integration"])}
    assert consumed == {
        "outputs.sms": "sms_sent",
        "outputs.cloud_export": "cloud_export_gb",
        "outputs.vms_connectors": None,
    }
