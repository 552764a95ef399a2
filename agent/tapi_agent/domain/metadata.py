"""An application's JSON objects as canonical text: names sorted, numbers exact, nothing that a store would choke on.

Our own encoder: the standard one cannot write a ``Decimal``, and would hand a lone surrogate or 1e400 on to PostgreSQL
and the billing service, where one such event holds up a whole batch. Called for an event's metadata, and for what an
application keeps with a camera.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from decimal import Decimal
from json.encoder import encode_basestring as quote
from typing import Final

from tapi_agent.domain.errors import InvalidInputError
from tapi_agent.domain.usage import Refusal

MAX_BYTES: Final = 32 * 1024
MAX_DEPTH: Final = 8
_POINTER: Final = "#/metadata"
_NAME: Final[Mapping[type, Callable[..., str]]] = {str: quote}
_WORD: Final[Mapping[type, Callable[..., str]]] = {
    str: quote,
    int: str,
    bool: lambda flag: "true" if flag else "false",
    type(None): lambda _: "null",
}
_OBJECTS: Final = (dict, Mapping)
"""A dict first: to be told what else is a mapping takes longer than the rest."""
_SHORT: Final = 256
"""Characters: no number that is shorter is too large for a double."""
_DOUBLE_BITS: Final = 1023
_DOUBLE_EXPONENT: Final = 307
"""What a double can hold: many a service reads numbers as doubles."""


def encode_metadata(value: object) -> str:
    """An event's metadata, at most 32 KiB and 8 levels, as text. Raises as ``encode_object``."""
    return encode_object(value, _POINTER, max_bytes=MAX_BYTES, max_depth=MAX_DEPTH)


def encode_object(value: object, pointer: str, *, max_bytes: int, max_depth: int) -> str:
    """The JSON object that was found at ``pointer`` as text; ``InvalidInputError`` names the place that is wrong."""
    if not isinstance(value, _OBJECTS):
        raise _invalid(f"{_last(pointer)} must be a JSON object", Refusal.WRONG_TYPE, pointer)
    if not value:
        return "{}"
    if text := _plain(value):
        return text
    text = _object(value, pointer, max_depth)
    if len(text.encode()) > max_bytes:
        raise _invalid(f"{_last(pointer)} is longer than {max_bytes} bytes", Refusal.TOO_LONG, pointer)
    return text


def _last(pointer: str) -> str:
    return pointer.rpartition("/")[2]


def _plain(value: Mapping[object, object]) -> str:
    """Almost all there are: a few words and whole numbers. Empty for any other, and for whatever may be wrong."""
    try:
        members = [f"{_NAME[type(name)](name)}:{_WORD[type(member)](member)}" for name, member in sorted(value.items())]
    except (KeyError, TypeError):
        return ""
    text = "{" + ",".join(members) + "}"
    return text if text.isascii() and len(text) < _SHORT and "\\u" not in text else ""


def _value(value: object, pointer: str, levels: int) -> str:
    match value:
        case str():
            return _text(value, pointer)
        case None | bool():
            return {None: "null", True: "true", False: "false"}[value]
        case int() | float() | Decimal():
            return _number(value, pointer)
        case Mapping():
            return _object(value, pointer, levels - 1)
        case list() | tuple():
            return _array(value, pointer, levels - 1)
        case _:
            raise _invalid(f"{type(value).__name__} is not JSON", Refusal.WRONG_TYPE, pointer)


def _object(value: Mapping[object, object], pointer: str, levels: int) -> str:
    """``levels`` is how many more there may be, this one included."""
    _check_depth(levels, pointer)
    members = {_name(name, pointer): member for name, member in value.items()}
    return "{" + ",".join(_member(name, members[name], pointer, levels) for name in sorted(members)) + "}"


def _member(name: str, value: object, pointer: str, levels: int) -> str:
    place = f"{pointer}/{name.replace('~', '~0').replace('/', '~1')}"
    return f"{_text(name, place)}:{_value(value, place, levels)}"


def _name(name: object, pointer: str) -> str:
    if isinstance(name, str):
        return name
    raise _invalid(f"a name must be text, not {type(name).__name__}", Refusal.WRONG_TYPE, pointer)


def _array(value: list[object] | tuple[object, ...], pointer: str, levels: int) -> str:
    _check_depth(levels, pointer)
    return "[" + ",".join(_value(item, f"{pointer}/{index}", levels) for index, item in enumerate(value)) + "]"


def _text(text: str, pointer: str) -> str:
    if flaw := flaw_of(text):
        raise _invalid(f"text holds {flaw}", Refusal.BAD_TEXT, pointer)
    return quote(text)


def flaw_of(text: str) -> str:
    """What makes a text unfit for JSON or PostgreSQL; empty when it is fit."""
    if "\0" in text:
        return "a NUL character"
    if not text.isascii() and any("\ud800" <= character <= "\udfff" for character in text):
        return "half a surrogate pair"
    return ""


def _number(number: float | Decimal, pointer: str) -> str:
    if not _fits_double(number):
        raise _invalid("a number must be finite and fit a double", Refusal.OUT_OF_RANGE, pointer)
    return repr(number) if isinstance(number, float) else str(number)


def _fits_double(number: float | Decimal) -> bool:
    match number:
        case int():
            return number.bit_length() <= _DOUBLE_BITS
        case float():
            return math.isfinite(number)
        case Decimal():
            return number.is_finite() and abs(number.adjusted()) <= _DOUBLE_EXPONENT


def _check_depth(levels: int, pointer: str) -> None:
    if levels < 1:
        raise _invalid("it is nested too deeply from here on", Refusal.TOO_DEEP, pointer)


def _invalid(message: str, code: Refusal, pointer: str) -> InvalidInputError:
    return InvalidInputError(message, code=code, pointer=pointer, fix="send a plain, small JSON object")
