"""Exact amounts: which quantities may be billed, how they are written, and their sum. Never a float."""

from __future__ import annotations

from decimal import Context, Decimal, Inexact, InvalidOperation
from typing import Any, Final

_PLACES: Final = Decimal("1e-9")
_ONE: Final = Context(prec=27, traps=[Inexact, InvalidOperation])
"""18 digits before the point and 9 behind; anything that does not fit raises instead of being rounded."""
_SUM: Final = Context(prec=60, traps=[Inexact, InvalidOperation])


def quantity(value: object) -> Decimal:
    """A JSON number as an amount. ``ValueError`` unless below 10^18 with at most 9 decimals."""
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        raise ValueError("must be a JSON number")  # noqa: TRY004 - pydantic turns ValueError into its own error
    try:
        return _ONE.quantize(Decimal(value), _PLACES)
    except (Inexact, InvalidOperation) as error:
        raise ValueError("must be below 10^18 with at most 9 decimals") from error


def literal(amount: Decimal) -> str:
    """The amount as a JSON number: no exponent, no superfluous zeros, nothing rounded."""
    return format(_SUM.normalize(amount), "f")


def whole(amount: Decimal) -> Decimal:
    """The amount cut, not rounded, to an integer: 2.9 gives 2 and -2.9 gives -2."""
    return Decimal(int(amount))


class ExactSum:
    """SQLite's aggregate ``exact_sum``: its own SUM turns text into floats."""

    def __init__(self) -> None:
        self._total = Decimal(0)

    def step(self, amount: Any, /) -> None:  # noqa: ANN401 - sqlite3's protocol
        """Add one stored literal."""
        self._total = _SUM.add(self._total, Decimal(amount))

    def finalize(self) -> str:
        """The sum as a literal."""
        return literal(self._total)
