"""Reads the price list (config/pricing.toml, or the file that PRICING_FILE names). Owns its form, no arithmetic."""

from __future__ import annotations

import tomllib
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from tapi_agent.domain.errors import ConfigurationError
from tapi_agent.domain.pricing import OveragePrice, PackPrice, PriceList

if TYPE_CHECKING:
    from pathlib import Path

Money = Annotated[Decimal, Field(ge=0)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class _Pack(_Strict):
    scope: str
    price: Money
    seats: int | None = None
    price_per_further_seat: Money | None = None


class _Overage(_Strict):
    price: Money
    per: Annotated[Decimal, Field(gt=0)]


class _File(_Strict):
    packs: dict[str, _Pack] = {}
    overage: dict[str, _Overage] = {}


def price_list(path: Path) -> PriceList:
    """The prices in a file. Raises ``ConfigurationError`` when it cannot be read or is not of the form."""
    try:
        read = _File.model_validate(tomllib.loads(path.read_text(), parse_float=Decimal))
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError, ValidationError) as error:
        raise ConfigurationError(
            f"the price list {path} cannot be used: {' '.join(str(error).split())}",
            fix="mend the file, or leave PRICING_FILE out for the list that comes with the agent",
        ) from error
    return PriceList(
        packs={slug: PackPrice(price=pack.price, seats=pack.seats) for slug, pack in read.packs.items()},
        overage={meter: OveragePrice(price=one.price, per=one.per) for meter, one in read.overage.items()},
    )
