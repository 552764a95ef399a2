"""The members of a JSON object, one by one: each of its type, every fault named with its place and its remedy.

For documents with parts inside parts; what the parts mean is said by who reads them. A member that is null counts as
left out.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from decimal import Decimal
from typing import TYPE_CHECKING, Final

from tapi_agent.domain.errors import InvalidInputError
from tapi_agent.domain.metadata import encode_object, flaw_of
from tapi_agent.domain.usage import Refusal

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

LONGEST_ID: Final = 128
MAX_BYTES: Final = 256 * 1024
MAX_DEPTH: Final = 16
_SHOWN: Final = 60


class Fields:
    """What a JSON object at ``pointer`` says, of the members in ``known``. Raises ``InvalidInputError`` throughout."""

    def __init__(self, value: object, pointer: str, known: Sequence[str]) -> None:
        if not isinstance(value, Mapping):
            raise InvalidInputError(
                f"a JSON object is needed here, not {type(value).__name__}", code=Refusal.WRONG_TYPE, pointer=pointer
            )
        self._pointer = pointer
        for name in value:
            if name not in known:
                shown = ascii(name)[1:-1][:_SHOWN]
                raise self.refusal(f"{shown!r} is not known here", Refusal.UNKNOWN_FIELD, shown, _listed(known))
        self._members = {name: member for name, member in value.items() if member is not None}

    def __contains__(self, name: str) -> bool:
        return name in self._members

    def place(self, name: str) -> str:
        """The pointer of a member."""
        return f"{self._pointer}/{name.replace('~', '~0').replace('/', '~1')}"

    def refusal(self, message: str, code: str, name: str, fix: str = "") -> InvalidInputError:
        """What to raise about a member."""
        return InvalidInputError(message, code=code, pointer=self.place(name), fix=fix)

    def id(self, name: str) -> str:
        """An identifier, which must be there: 1 to 128 printable characters."""
        text = self.text(name, self._required(name))
        if not text or not text.isprintable() or len(text) > LONGEST_ID:
            code = Refusal.TOO_LONG if len(text) > LONGEST_ID else Refusal.BAD_TEXT
            raise self.refusal(f"{name} must have 1 to {LONGEST_ID} printable characters", code, name)
        return text

    def text(self, name: str, default: object = "") -> str:
        """Text of at most 128 characters, without what no store can keep."""
        text = self._members.get(name, default)
        if not isinstance(text, str):
            raise self.refusal(f"{name} must be text, not {type(text).__name__}", Refusal.WRONG_TYPE, name)
        if flaw := flaw_of(text):
            raise self.refusal(f"{name} holds {flaw}", Refusal.BAD_TEXT, name)
        if len(text) > LONGEST_ID:
            raise self.refusal(f"{name} is longer than {LONGEST_ID} characters", Refusal.TOO_LONG, name)
        return text

    def flag(self, name: str) -> bool:
        """True, which is the default, or false."""
        flag = self._members.get(name, True)
        if not isinstance(flag, bool):
            raise self.refusal(f"{name} must be true or false", Refusal.WRONG_TYPE, name)
        return flag

    def number(self, name: str) -> float:
        """A finite number, which must be there."""
        number = self._required(name)
        if isinstance(number, bool) or not isinstance(number, int | float | Decimal):
            raise self.refusal(f"{name} must be a number, not {type(number).__name__}", Refusal.WRONG_TYPE, name)
        nearest = _double(number)
        if not math.isfinite(nearest):
            raise self.refusal(f"{name} must be finite and fit a double", Refusal.OUT_OF_RANGE, name)
        return nearest

    def json(self, name: str) -> str:
        """A JSON object of at most 256 KiB and 16 levels, as text."""
        return encode_object(self._members.get(name, {}), self.place(name), max_bytes=MAX_BYTES, max_depth=MAX_DEPTH)

    def inner(self, name: str, known: Sequence[str]) -> Fields:
        """The members of an object that must be there."""
        return Fields(self._required(name), self.place(name), known)

    def each(self, name: str, known: Sequence[str]) -> Iterator[Fields]:
        """The members of each object in a list."""
        items = self._members.get(name, [])
        if not isinstance(items, list | tuple):
            raise self.refusal(f"{name} must be a list, not {type(items).__name__}", Refusal.WRONG_TYPE, name)
        for index, item in enumerate(items):
            yield Fields(item, f"{self.place(name)}/{index}", known)

    def _required(self, name: str) -> object:
        if name not in self._members:
            raise self.refusal(f"{name} is missing", Refusal.MISSING, name, f"send {name}")
        return self._members[name]


def _double(number: float | Decimal) -> float:
    try:
        return float(number)
    except OverflowError:
        return math.inf


def _listed(known: Sequence[str]) -> str:
    return f"known: {', '.join(known)}"
