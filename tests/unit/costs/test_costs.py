"""What a month comes to: the price list, who pays for what, and what is beyond a quota."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest

from tapi_agent import resources
from tapi_agent.domain.catalog import Catalog, Declaration
from tapi_agent.domain.errors import ConfigurationError
from tapi_agent.domain.features import Tier
from tapi_agent.domain.ids import TENANT, DeviceId, TenantId
from tapi_agent.domain.license import LicenseMode, Reason, Subject
from tapi_agent.domain.pricing import CostLine, OveragePrice, PackPrice, PriceList, estimate
from tapi_agent.plugin import base_catalog
from tapi_agent.services.costs import Costs
from tapi_agent.services.entitlements import Entitlements
from tapi_agent.settings.pricing import price_list
from tapi_agent.testing.clock import START
from tapi_agent.testing.entitlements import FakeLicenses, FakeQuotas, FakeWords

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

PRICES = PriceList(
    packs={"base": PackPrice(price=Decimal(60)), "intelligence": PackPrice(price=Decimal(400), seats=5)},
    overage={"api_call": OveragePrice(price=Decimal("0.05"), per=Decimal(1000))},
)


class Standing:
    def now(self) -> datetime:
        return START


@pytest.fixture
def book() -> FakeLicenses:
    subject = Subject(device_id=DeviceId("box"), tenant_id=TenantId("acme"), camera_id=TENANT)
    return FakeLicenses(tenant=subject, clock=Standing())


def costs(book: FakeLicenses, **overage: str) -> Costs:
    catalog = Catalog().extended(
        Declaration(
            source="base-catalog",
            first_party=True,
            features=tuple(base_catalog.register_features()),
            packs=tuple(base_catalog.register_packs()),
        )
    )
    entitlements = Entitlements(
        catalog=catalog,
        licensing=book,
        words=FakeWords(),
        quotas=FakeQuotas(),
        clock=Standing(),
        monotonic=lambda: 0.0,
        tiers=dict.fromkeys(LicenseMode, Tier.PROFESSIONAL),
    )
    beyond = [SimpleNamespace(meter=meter, overage=Decimal(amount)) for meter, amount in overage.items()]
    return Costs(prices=PRICES, entitlements=entitlements, cameras=book.cameras, quotas=lambda: beyond)


def test_each_camera_pays_for_its_own_and_the_tenant_once_for_all(book: FakeLicenses) -> None:
    book.hears("one", "two", packs=("Intelligence",))
    book.hears("three", packs=("advanced_analytics", "intelligence"))
    month = costs(book).month()
    assert {line.item: (line.quantity, line.amount) for line in month.lines} == {
        "base": (3, Decimal("180.00")),
        "intelligence": (1, Decimal("400.00")),
        "advanced_analytics": (1, None),
    }
    assert (month.total, month.unpriced) == (Decimal("580.00"), ("advanced_analytics",))


def test_the_tenants_own_license_pays_for_its_packs(book: FakeLicenses) -> None:
    book.hears("", packs=("intelligence",))
    assert costs(book).month().lines == (CostLine(item="intelligence", quantity=Decimal(1), amount=Decimal("400.00")),)


@pytest.mark.parametrize(
    "facts",
    [{"mode": LicenseMode.TRIAL}, {"denied": Reason.REVOKED}, {"valid_until": START - timedelta(days=90)}],
    ids=["trial", "revoked", "long lapsed"],
)
def test_who_has_no_paid_license_in_force_pays_nothing(book: FakeLicenses, facts: dict[str, object]) -> None:
    book.hears("one", packs=("intelligence",), **facts)
    assert costs(book).month().lines == ()


@pytest.mark.parametrize(
    ("beyond", "amount"), [("1000", "0.05"), ("100", "0.01"), ("90", "0.00"), ("1e6", "50.00"), ("12345.678", "0.62")]
)
def test_overage_is_paid_by_the_unit_and_rounded_once(book: FakeLicenses, beyond: str, amount: str) -> None:
    (line,) = costs(book, api_call=beyond).month().lines
    assert (line.item, line.quantity, line.amount) == ("api_call", Decimal(beyond), Decimal(amount))


def test_what_stays_within_its_quota_is_no_line_and_a_meter_without_a_price_is_unpriced(book: FakeLicenses) -> None:
    month = costs(book, api_call="0", llm_tokens="5").month()
    assert month.lines == (CostLine(item="llm_tokens", quantity=Decimal(5), amount=None),)
    assert estimate(PRICES, packs=[], overage={}).total == 0


def test_the_list_that_ships_is_the_designs() -> None:
    listed = price_list(resources.directory("config") / "pricing.toml")
    assert {slug: pack.price for slug, pack in listed.packs.items()} == {
        "base": 60,
        "advanced_analytics": 20,
        "intelligence": 400,
    }
    assert listed.packs["intelligence"].seats == 5
    assert listed.overage == {"api_call": OveragePrice(price=Decimal("0.05"), per=Decimal(1000))}


@pytest.mark.parametrize(
    "text",
    [
        None,
        "[packs.base",
        "[packs.base]\nscope = 'camera'",
        "[packs.base]\nscope = 'camera'\nprice = -1",
        "[overage.api_call]\nprice = 1\nper = 0",
        "[discounts]\nfriends = 1",
        "\xff",
    ],
    ids=["no file", "no toml", "no price", "negative", "per nothing", "unknown table", "no text"],
)
def test_a_list_of_no_use_says_which_and_what_to_do(tmp_path: Path, text: str | None) -> None:
    path = tmp_path / "prices.toml"
    if text is not None:
        path.write_bytes(text.encode("latin-1"))
    with pytest.raises(ConfigurationError, match=r"prices\.toml") as caught:
        price_list(path)
    assert "PRICING_FILE" in caught.value.fix
