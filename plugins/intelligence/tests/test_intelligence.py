"""Intelligence as the agent loads it: what it sells, under which names, and to whom it denies it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

import tapi_intelligence
from tapi_agent.domain.decision import DecisionReason
from tapi_agent.domain.quota import limit_of
from tapi_agent.plugin import base_catalog

if TYPE_CHECKING:
    from tapi_agent.testing.shop import Shop

FEATURES = {
    "llm.analyst_seat_full",
    "llm.premium_connectors",
    "llm.automated_reports",
}


def test_its_entry_point_brings_the_pack(shop: Shop) -> None:
    assert (shop.report.distribution, shop.report.error) == ("tapi-agent-intelligence", None)
    pack = shop.catalog.packs["intelligence"]
    assert (pack.title, pack.scope, pack.features) == ("Intelligence", "tenant", FEATURES)


@pytest.mark.parametrize("name", ["intelligence", "Intelligence"])
def test_slug_and_title_bring_every_feature(shop: Shop, name: str) -> None:
    decisions = shop.decisions(FEATURES, packs=[name])
    assert {(one.reason, one.source_pack) for one in decisions} == {(DecisionReason.LICENSED, "intelligence")}


@pytest.mark.parametrize("packs", [[], ["Intelligence Plus"]], ids=["nothing bought", "a pack nobody knows"])
def test_without_it_the_denial_names_it(shop: Shop, packs: list[str]) -> None:
    decisions = shop.decisions(FEATURES, packs=packs)
    assert {(one.reason, one.packs) for one in decisions} == {(DecisionReason.PACK_REQUIRED, ("intelligence",))}


@pytest.mark.parametrize(
    ("packs", "trial", "tokens"),
    [
        ((), False, 250_000),
        (("intelligence",), False, 1_500_000),
        (("integration",), False, 250_000),
        (("intelligence",), True, 1_300_000),
    ],
    ids=["without", "with", "another pack", "on trial"],
)
def test_each_of_its_five_seats_adds_to_the_month(packs: tuple[str, ...], *, trial: bool, tokens: int) -> None:
    basic = next(rule for rule in base_catalog.register_quotas() if rule.meter == "llm_tokens")
    rules = tapi_intelligence.register_quotas()
    assert {(rule.meter, rule.period, rule.soft) for rule in rules} == {(basic.meter, basic.period, basic.soft)}
    assert limit_of(basic, rules, trial=trial, packs=frozenset(packs)) == tokens


def test_it_repeats_the_agent_s_own_meter(shop: Shop) -> None:
    assert shop.report.meters == ("llm_tokens",)
    assert shop.declarations.meter_sources["llm_tokens"] == "base-catalog"
    assert tapi_intelligence.register_meters() == [shop.declarations.meters["llm_tokens"]]
