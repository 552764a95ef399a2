"""What a month is expected to cost, by the price list. An estimate: what is billed is the service's to decide. Pure.

Owns the arithmetic. The list is configuration (config/pricing.toml); who holds what and what goes beyond a quota comes
from ``services.costs``.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from decimal import ROUND_HALF_UP, Decimal
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

_CENT: Final = Decimal("0.01")


@dataclass(frozen=True, slots=True, kw_only=True)
class PackPrice:
    """A pack's price a month, for each camera or the tenant; ``seats`` are included, further ones are not estimated."""

    price: Decimal
    seats: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class OveragePrice:
    """What usage beyond a soft quota costs: ``price`` for every ``per`` units of the meter."""

    price: Decimal
    per: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceList:
    """Prices by slug of the pack and by meter, in the list's currency."""

    packs: Mapping[str, PackPrice] = field(default_factory=dict)
    overage: Mapping[str, OveragePrice] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class CostLine:
    """One line of an estimate: ``quantity`` packs, or units of a meter, come to ``amount``; ``None`` has no price."""

    item: str
    quantity: Decimal
    amount: Decimal | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """What a month comes to. ``unpriced`` are the packs that are quoted individually: they are not in ``total``."""

    lines: tuple[CostLine, ...]

    @property
    def total(self) -> Decimal:
        """Sum of the lines that have a price."""
        return sum((line.amount for line in self.lines if line.amount is not None), Decimal(0))

    @property
    def unpriced(self) -> tuple[str, ...]:
        """Items without a price."""
        return tuple(line.item for line in self.lines if line.amount is None)


def estimate(prices: PriceList, *, packs: Iterable[str], overage: Mapping[str, Decimal]) -> Estimate:
    """For ``packs``, each slug as often as it is paid for, and what goes beyond soft quotas by meter."""
    sold = sorted(Counter(packs).items())
    return Estimate(lines=(*_for_packs(prices, sold), *_for_overage(prices, overage)))


def _for_packs(prices: PriceList, sold: Iterable[tuple[str, int]]) -> Iterator[CostLine]:
    for slug, count in sold:
        price = prices.packs.get(slug)
        amount = _cents(price.price * count) if price else None
        yield CostLine(item=slug, quantity=Decimal(count), amount=amount)


def _for_overage(prices: PriceList, overage: Mapping[str, Decimal]) -> Iterator[CostLine]:
    for meter, beyond in sorted(overage.items()):
        price = prices.overage.get(meter)
        if beyond > 0:
            amount = _cents(beyond * price.price / price.per) if price else None
            yield CostLine(item=meter, quantity=beyond, amount=amount)


def _cents(amount: Decimal) -> Decimal:
    return amount.quantize(_CENT, rounding=ROUND_HALF_UP)
