"""JSON texts of the old data: whether PostgreSQL and every later reader can take them as they are.

Python's reader is more lenient than the standard; what it lets through and others choke on is looked for here. Texts
without a backslash or deep nesting, nearly all, cost one pass of the C reader.
"""

from __future__ import annotations

import json
import math
import re
from typing import Final

from tapi_agent.domain.importing.flaws import Flaw, QuarantineCode

MAX_DEPTH: Final = 100
_INT64_DIGITS: Final = 18
"""So many always fit 64 bits; and Python would read a million of them for minutes."""
_LONGEST_INTEGER: Final = 20
_LOWEST: Final = -(2**63)
_HIGHEST: Final = 2**64 - 1
_SUSPICIOUS: Final = ("\\u0000", "\\ud", "\\uD")
_ESCAPES: Final = re.compile(
    r"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|\\u(0000|[dD][89a-fA-F][0-9a-fA-F]{2})|\\."
)
"""Whole pairs are passed over; the group is what is left: NUL, or half a pair."""


class _Unfit(ValueError):  # noqa: N818 - an outcome, caught in this module
    """Carries a flaw out of the reader."""

    def __init__(self, code: QuarantineCode, detail: str) -> None:
        super().__init__(detail)
        self.flaw = Flaw(code, detail)


def _integer(digits: str) -> int:
    if len(digits) <= _INT64_DIGITS:
        return int(digits)
    if len(digits) <= _LONGEST_INTEGER and _LOWEST <= (number := int(digits)) <= _HIGHEST:
        return number
    raise _Unfit(QuarantineCode.NUMBER_OUT_OF_RANGE, "an integer in the JSON is beyond 64 bits")


def _float(digits: str) -> float:
    number = float(digits)
    if math.isinf(number):
        raise _Unfit(QuarantineCode.NUMBER_OUT_OF_RANGE, "a number in the JSON is beyond a double")
    return number


def _constant(name: str) -> float:
    raise _Unfit(QuarantineCode.INVALID_JSON, f"{name} is no JSON")


_decode: Final = json.JSONDecoder(parse_int=_integer, parse_float=_float, parse_constant=_constant).decode


def read_json(text: str) -> object | Flaw:
    """What a JSON text says, or why it cannot be taken over as it is."""
    try:
        value: object = _decode(text)
    except _Unfit as unfit:
        return unfit.flaw
    except RecursionError:
        return _too_deep()
    except ValueError as error:
        return Flaw(QuarantineCode.INVALID_JSON, f"no JSON: {error}")
    return _hidden_flaw(text, value) or value


def _hidden_flaw(text: str, value: object) -> Flaw | None:
    if any(sign in text for sign in _SUSPICIOUS):
        for escape in _ESCAPES.finditer(text):
            if escape[1]:
                return _bad_escape(escape[1])
    if text.count("{") + text.count("[") > MAX_DEPTH and _depth(value) > MAX_DEPTH:
        return _too_deep()
    return None


def _bad_escape(digits: str) -> Flaw:
    if digits == "0000":
        return Flaw(QuarantineCode.NUL_IN_TEXT, "a text in the JSON holds a NUL character")
    return Flaw(QuarantineCode.INVALID_JSON, "a text in the JSON holds half a surrogate pair")


def _too_deep() -> Flaw:
    return Flaw(QuarantineCode.TOO_DEEP, f"the JSON is nested deeper than {MAX_DEPTH} levels")


def _depth(value: object) -> int:
    """Levels of objects and arrays; without recursion, as the depth is what is in question."""
    deepest, todo = 0, [(value, 1)]
    while todo:
        one, level = todo.pop()
        if isinstance(one, dict | list):
            deepest = max(deepest, level)
            todo.extend((part, level + 1) for part in (one.values() if isinstance(one, dict) else one))
    return deepest
