"""docs/packs.md is written from what the installed first-party plugins say; running this file as a program does it."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from tapi_agent.plugin.discovery import FIRST_PARTY, discover
from tapi_agent.plugin.host import PluginHost

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tapi_agent.domain.features import GrowthPack
    from tapi_agent.ports.plugins import PluginReport

CHECKOUT: Final = Path(__file__).parents[3]
DOCUMENT: Final = CHECKOUT / "docs" / "packs.md"
PRICES: Final = tomllib.loads((CHECKOUT / "config" / "pricing.toml").read_text(encoding="utf-8"))["packs"]
TEXT: Final = """\
# Growth packs

Written from what the first-party plugins register; a test compares. How to add a pack: [hooks](hooks.md).

A pack sells features. A `camera` pack is sold for single cameras, an `industry` pack likewise, for those of an
industry; a `tenant` pack that the tenant's own license names is every camera's. The billing service may call a pack by
its slug or by its title; a name that no plugin knows is reported and grants nothing. A feature that several packs sell
comes with any one of them.

`tapi-agent` is the agent itself. Each other distribution is a plugin of its own, to be found in `plugins/`; without
it the pack and its features are unknown, and denied. Prices are list prices, from `config/pricing.toml`, for estimates.

| pack | title | scope | list price | comes with | features |
|---|---|---|---|---|---|
{packs}
"""


def document() -> str:
    host = PluginHost(disabled={candidate.name for candidate in discover() if not candidate.first_party})
    catalog = host.load().catalog
    host.close()
    reports = [report for report in host.report() if report.distribution in FIRST_PARTY]
    return TEXT.format(packs="\n".join(row(pack, reports) for pack in catalog.packs.values()))


def row(pack: GrowthPack, reports: Iterable[PluginReport]) -> str:
    sources = ", ".join(f"`{report.distribution}`" for report in reports if pack.slug in report.packs)
    features = " ".join(f"`{key}`" for key in sorted(pack.features))
    return f"| `{pack.slug}` | {pack.title} | {pack.scope} | {price(PRICES.get(pack.slug))} | {sources} | {features} |"


def price(listed: dict[str, Any] | None) -> str:
    if listed is None:
        return "quoted individually"
    if "seats" not in listed:
        return f"{listed['price']} a {listed['scope']}"
    seats, further = listed["seats"], listed["price_per_further_seat"]
    return f"{listed['price']} a {listed['scope']} with {seats} seats, {further} for each further one"


def test_the_document_is_what_the_code_says() -> None:
    assert DOCUMENT.read_text(encoding="utf-8") == document()


def test_every_price_is_that_of_a_pack() -> None:
    text = document()
    assert not [slug for slug in PRICES if f"| `{slug}` |" not in text]


if __name__ == "__main__":
    DOCUMENT.write_text(document(), encoding="utf-8")
