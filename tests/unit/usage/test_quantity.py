from __future__ import annotations

from decimal import Decimal

import pytest

from tapi_agent.domain.errors import InvalidInputError
from tapi_agent.domain.quantity import literal, read_quantity


@pytest.mark.parametrize(
    ("given", "written"),
    [
        (0, "0"),
        (7, "7"),
        (-3, "-3"),
        (2**53 + 1, "9007199254740993"),
        ("1", "1"),
        ("+1", "1"),
        ("1.50", "1.5"),
        ("0.000000001", "0.000000001"),
        ("-0.0", "0"),
        ("1e3", "1000"),
        ("1E-9", "0.000000001"),
        ("0e3", "0"),
        ("999999999999999999.999999999", "999999999999999999.999999999"),
        (Decimal("12.340"), "12.34"),
        (Decimal("1.0000000000000000"), "1"),
        (10**18 - 1, "999999999999999999"),
    ],
)
def test_an_amount_is_written_with_every_digit(given: object, written: str) -> None:
    assert literal(read_quantity(given)) == written


@pytest.mark.parametrize(
    ("given", "code", "word"),
    [
        (1.0, "WRONG_TYPE", "float"),
        (True, "WRONG_TYPE", "bool"),
        (None, "WRONG_TYPE", "NoneType"),
        ([], "WRONG_TYPE", "list"),
        ("", "WRONG_TYPE", "''"),
        ("ten", "WRONG_TYPE", "'ten'"),
        (" 1", "WRONG_TYPE", "' 1'"),
        ("1_000", "WRONG_TYPE", "'1_000'"),
        ("1.", "WRONG_TYPE", "'1.'"),
        ("0x10", "WRONG_TYPE", "0x10"),
        ("\u0661", "WRONG_TYPE", "u0661"),
        ("1" * 65, "WRONG_TYPE", "1111"),
        ("NaN", "NOT_FINITE", "NaN"),
        ("sNaN12", "NOT_FINITE", "sNaN12"),
        ("-Infinity", "NOT_FINITE", "-Infinity"),
        ("inf", "NOT_FINITE", "inf"),
        (Decimal("NaN"), "NOT_FINITE", "NaN"),
        (Decimal("Infinity"), "NOT_FINITE", "Infinity"),
        (10**18, "OUT_OF_RANGE", "10^18"),
        (-(10**18), "OUT_OF_RANGE", "10^18"),
        pytest.param(10**5000, "OUT_OF_RANGE", "10^18", id="5000 digits"),
        ("1e18", "OUT_OF_RANGE", "10^18"),
        ("0.1234567891", "NOT_EXACT", "9 decimals"),
        ("1e-10", "NOT_EXACT", "9 decimals"),
        (Decimal("0." + "1" * 200), "NOT_EXACT", "9 decimals"),
        (Decimal(0.1), "NOT_EXACT", "9 decimals"),  # noqa: RUF032 - what float arithmetic leaves behind
    ],
)
def test_what_is_no_exact_amount_is_refused_with_its_place(given: object, code: str, word: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        read_quantity(given)
    assert (caught.value.code, caught.value.pointer) == (code, "#/quantity")
    assert word in str(caught.value)
    assert caught.value.fix
