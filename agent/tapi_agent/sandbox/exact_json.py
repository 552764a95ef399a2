"""JSON as it stands in the bytes: the very text of each value, and numbers that nobody has rounded.

The ``sha256`` of a batch is over the exact bytes of its ``events``, so parsing it and writing it anew will not do.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from decimal import Decimal
from typing import Final, NoReturn

import orjson

from tapi_agent.sandbox.amounts import literal

_SPACE: Final = re.compile(r"[ \t\n\r]*")


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON number")


_DECODER: Final = json.JSONDecoder(parse_float=Decimal, parse_constant=_no_constant)


@dataclass(frozen=True, slots=True, kw_only=True)
class Element:
    """One value and the text it was read from."""

    value: object
    text: str


def members(body: bytes) -> dict[str, Element]:
    """The members of the object in ``body``. ``ValueError`` unless it is one UTF-8 JSON object with unique names."""
    reader = _Reader(body.decode())
    found: dict[str, Element] = {}
    reader.expect("{")
    while not reader.take("}"):
        if found:
            reader.expect(",")
        name = reader.element()
        reader.expect(":")
        if not isinstance(name.value, str) or name.value in found:
            raise ValueError(f"{name.text[:40]} is no name, or stands there twice")
        found[name.value] = reader.element()
    reader.expect_end()
    return found


def elements(array: str) -> list[Element]:
    """The elements of the JSON array in ``array``, which must be one."""
    reader = _Reader(array)
    found: list[Element] = []
    reader.expect("[")
    while not reader.take("]"):
        if found:
            reader.expect(",")
        found.append(reader.element())
    return found


def dump(value: object) -> bytes:
    """``value``, which may hold dataclasses, as JSON; a ``Decimal`` becomes a number with every digit."""
    return orjson.dumps(value, default=_exactly)


def _exactly(value: object) -> orjson.Fragment:
    if isinstance(value, Decimal):
        return orjson.Fragment(literal(value))
    raise TypeError(f"{type(value).__name__} is not JSON")


class _Reader:
    """A place in a JSON text, moving forward."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0

    def take(self, mark: str) -> bool:
        """Step over ``mark`` if it comes next."""
        self._skip_space()
        found = self._text.startswith(mark, self._at)
        self._at += found
        return found

    def expect(self, mark: str) -> None:
        if not self.take(mark):
            raise ValueError(f"{mark!r} expected at character {self._at}")

    def expect_end(self) -> None:
        self._skip_space()
        if self._at != len(self._text):
            raise ValueError(f"nothing more expected at character {self._at}")

    def element(self) -> Element:
        self._skip_space()
        start = self._at
        try:
            value, self._at = _DECODER.raw_decode(self._text, start)
        except RecursionError as error:
            raise ValueError(f"nested too deeply at character {start}") from error
        return Element(value=value, text=self._text[start : self._at])

    def _skip_space(self) -> None:
        match = _SPACE.match(self._text, self._at)
        self._at = match.end() if match else self._at
