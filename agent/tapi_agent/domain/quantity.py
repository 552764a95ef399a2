"""Quantities: which amounts may be recorded, and how they are written. Exact throughout, never a float."""

from __future__ import annotations

import re
from decimal import Context, Decimal, Inexact, InvalidOperation
from typing import Final

from tapi_agent.domain.errors import InvalidInputError
from tapi_agent.domain.usage import Refusal

_DIGITS: Final = 18
_DECIMALS: Final = 9
_LIMIT: Final = 10**_DIGITS
_LONGEST: Final = 64
_LITERAL: Final = re.compile(r"[+-]?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]{1,4})?")
_NOT_FINITE: Final = re.compile(r"[+-]?(s?nan[0-9]*|inf(inity)?)", re.IGNORECASE)
_EXACT: Final = Context(prec=_LONGEST, traps=[Inexact, InvalidOperation])
_POINTER: Final = "#/quantity"


def read_quantity(value: object) -> Decimal:
    """A decimal string, ``int`` or ``Decimal`` as an exact amount without superfluous zeros.

    Raises ``InvalidInputError`` for anything else: a Python ``float`` has lost the digits that were meant.
    """
    if type(value) is int and abs(value) < _LIMIT:  # almost all there are
        return Decimal(value)
    number = _number(value)
    if not number.is_finite():
        raise _not_finite(str(number))
    if number.adjusted() >= _DIGITS:
        raise InvalidInputError(
            f"the quantity must be below 10^{_DIGITS} in size",
            code=Refusal.OUT_OF_RANGE,
            pointer=_POINTER,
            fix="send it as several events",
        )
    return _trimmed(number)


def literal(quantity: Decimal) -> str:
    """A quantity as a JSON number: every digit, no exponent."""
    return format(quantity, "f")


def _number(value: object) -> Decimal:
    match value:
        case bool():
            raise _wrong_type(value)
        case int() | Decimal():
            return Decimal(value)
        case str() if len(value) <= _LONGEST and _LITERAL.fullmatch(value):
            return Decimal(value)
        case str() if _NOT_FINITE.fullmatch(value):
            raise _not_finite(value)
        case _:
            raise _wrong_type(value)


def _trimmed(number: Decimal) -> Decimal:
    try:
        trimmed = _EXACT.normalize(number)
    except Inexact:
        trimmed = number
    exponent = trimmed.as_tuple().exponent
    if isinstance(exponent, int) and exponent < -_DECIMALS:
        raise InvalidInputError(
            f"the quantity has more than {_DECIMALS} decimals",
            code=Refusal.NOT_EXACT,
            pointer=_POINTER,
            fix="round it where it is measured; nothing is rounded on the way to the bill",
        )
    return abs(trimmed) if trimmed.is_zero() else trimmed


def _wrong_type(value: object) -> InvalidInputError:
    shown = ascii(value[:_LONGEST]) if isinstance(value, str) else type(value).__name__
    return InvalidInputError(
        f"the quantity must be a decimal number, not {shown}",
        code=Refusal.WRONG_TYPE,
        pointer=_POINTER,
        fix='send a JSON number or a decimal string such as "1.25"; from Python an int, str or Decimal',
    )


def _not_finite(value: str) -> InvalidInputError:
    return InvalidInputError(
        f"{value[:_LONGEST]} is not a quantity",
        code=Refusal.NOT_FINITE,
        pointer=_POINTER,
        fix="send a finite decimal number",
    )
