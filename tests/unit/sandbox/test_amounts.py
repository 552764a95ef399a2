"""Amounts are exact or refused; nothing is ever rounded."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tapi_agent.sandbox import amounts

LIMIT = Decimal(10) ** 18
NANO = Decimal("1e-9")


@st.composite
def good(draw: st.DrawFn) -> Decimal:
    """Any amount that may be billed."""
    return Decimal(draw(st.integers(-(10**27) + 1, 10**27 - 1))).scaleb(-9)


@settings(deadline=None)
@given(amount=good())
def test_a_good_amount_survives_and_is_written_in_full(amount: Decimal) -> None:
    found = amounts.quantity(amount)
    assert found == amount
    text = amounts.literal(found)
    assert Decimal(text) == amount
    assert "E" not in text
    assert not (text.endswith("0") and "." in text)


@pytest.mark.parametrize(
    "value",
    [LIMIT, -LIMIT, int(LIMIT), LIMIT - NANO / 10, NANO / 2, Decimal("1e999999"), Decimal("1e-999999"), 10**4000],
    ids=str,
)
def test_what_would_have_to_be_rounded_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match="at most 9 decimals"):
        amounts.quantity(value)


@pytest.mark.parametrize("value", [True, None, "1", 1.5, [1]], ids=repr)
def test_what_is_no_exact_number_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match="JSON number"):
        amounts.quantity(value)


@settings(deadline=None)
@given(parts=st.lists(good(), max_size=50))
def test_sums_are_exact(parts: list[Decimal]) -> None:
    total = amounts.ExactSum()
    for part in parts:
        total.step(amounts.literal(part))
    assert Fraction(total.finalize()) == sum(map(Fraction, parts))


@pytest.mark.parametrize(
    ("amount", "cut"),
    [("2.9", "2"), ("-2.9", "-2"), ("0.999999999", "0"), ("99999999999999999999.5", "99999999999999999999")],
)
def test_whole_cuts_towards_zero(amount: str, cut: str) -> None:
    assert amounts.whole(Decimal(amount)) == Decimal(cut)
