"""Checks of the old columns: SQLite keeps any type in any column, PostgreSQL does not.

A value comes as it was read: ``None``, ``int``, ``float``, ``str``, ``bytes`` or ``Undecodable``. ``flaw`` is the exact
judgment of one value; ``all_fine`` looks at many at once, ten times as fast, and may say no to what is fine. Every
CHECK of the target tables has its counterpart here, so that no row fails on the server.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from typing_extensions import override

from tapi_agent.domain.ids import milliseconds
from tapi_agent.domain.importing.flaws import Flaw, QuarantineCode
from tapi_agent.domain.importing.json_text import read_json

if TYPE_CHECKING:
    from collections.abc import Sequence

INT64: Final = 2**63
_INT32: Final = 2**31
_KEY_BYTES: Final = 512
"""Several such texts stand in one index entry, which PostgreSQL limits to 2.7 kB."""
_BYTES_A_CHARACTER: Final = 4
_FROM: Final = milliseconds(datetime(2000, 1, 1, tzinfo=UTC))
_UNTIL: Final = milliseconds(datetime(2100, 1, 1, tzinfo=UTC))
_NEW_IDS: Final = 10**12
"""Numbers from here on are given out by the new sequences (migration 0004)."""


class Undecodable(bytes):
    """A TEXT value that is no UTF-8."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Column(ABC):
    """What an old column may hold; ``optional``: also NULL."""

    optional: bool = False

    def flaw(self, value: object) -> Flaw | None:
        """What is wrong with a value."""
        return None if value is None and self.optional else self._flaw(value)

    def all_fine(self, values: Sequence[object]) -> bool:
        """Whether there is certainly no flaw in any of them."""
        present = [value for value in values if value is not None] if self.optional else values
        return not present or self._all_fine(present)

    @abstractmethod
    def _flaw(self, value: object) -> Flaw | None: ...

    @abstractmethod
    def _all_fine(self, values: Sequence[object]) -> bool: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Integer(Column):
    """From ``low`` up to but not including ``high``; what is outside is called ``meaning``."""

    low: int
    high: int
    code: QuarantineCode = QuarantineCode.NUMBER_OUT_OF_RANGE
    meaning: str

    @override
    def _flaw(self, value: object) -> Flaw | None:
        if type(value) is int:
            return None if self.low <= value < self.high else Flaw(self.code, f"{value} is {self.meaning}")
        if isinstance(value, float) and not abs(value) < INT64:
            return Flaw(QuarantineCode.NUMBER_OUT_OF_RANGE, f"{value} is beyond 64 bits")
        return _wrong_type(value, "an integer")

    @override
    def _all_fine(self, values: Sequence[object]) -> bool:
        if set(map(type, values)) != {int}:
            return False
        return self.low <= min(values) and max(values) < self.high  # type: ignore[type-var, operator]  # integers


@dataclass(frozen=True, slots=True, kw_only=True)
class Text(Column):
    """Text that PostgreSQL can hold; ``key``: short enough to be part of a key, ``named``: not empty."""

    key: bool = False
    named: bool = False

    @override
    def _flaw(self, value: object) -> Flaw | None:
        if type(value) is not str:
            return _wrong_type(value, "text")
        if "\0" in value:
            return Flaw(QuarantineCode.NUL_IN_TEXT, "the text holds a NUL character")
        if self.key and len(value.encode()) > _KEY_BYTES:
            return Flaw(QuarantineCode.TEXT_TOO_LONG, f"longer than {_KEY_BYTES} bytes")
        return Flaw(QuarantineCode.EMPTY_NAME, "the name is empty") if self.named and not value else None

    @override
    def _all_fine(self, values: Sequence[object]) -> bool:
        if set(map(type, values)) != {str}:
            return False
        texts = {str(value) for value in values}  # often the same few
        short = not self.key or max(map(len, texts)) * _BYTES_A_CHARACTER <= _KEY_BYTES
        return short and not (self.named and "" in texts) and not any("\0" in text for text in texts)


@dataclass(frozen=True, slots=True, kw_only=True)
class Json(Column):
    """Text that is a JSON value; ``object_only``: an object."""

    object_only: bool = False

    @override
    def _flaw(self, value: object) -> Flaw | None:
        found = Text().flaw(value) or read_json(str(value))
        if isinstance(found, Flaw):
            return found
        if self.object_only and not isinstance(found, dict):
            return Flaw(QuarantineCode.NOT_AN_OBJECT, "the JSON is no object")
        return None

    @override
    def _all_fine(self, values: Sequence[object]) -> bool:
        return not any(map(self._flaw, values))


@dataclass(frozen=True, slots=True, kw_only=True)
class Blob(Column):
    """Bytes."""

    @override
    def _flaw(self, value: object) -> Flaw | None:
        return None if type(value) is bytes else _wrong_type(value, "a blob")

    @override
    def _all_fine(self, values: Sequence[object]) -> bool:
        return set(map(type, values)) == {bytes}


def _wrong_type(value: object, wanted: str) -> Flaw:
    match value:
        case None:
            return Flaw(QuarantineCode.MISSING_VALUE, f"NULL where {wanted} should be")
        case Undecodable():
            return Flaw(QuarantineCode.INVALID_UTF8, "the text is no UTF-8")
        case _:
            return Flaw(QuarantineCode.WRONG_TYPE, f"{_TYPES[type(value)]} where {wanted} should be")


_TYPES: Final = {int: "an integer", float: "a real number", str: "text", bytes: "a blob"}


def row_id(*, optional: bool = False) -> Integer:
    """The number of an old row."""
    return Integer(low=-INT64, high=_NEW_IDS, meaning="no old number: those are below 10^12", optional=optional)


def time_ms(*, optional: bool = False) -> Integer:
    """Milliseconds since 1970."""
    return _time(1, "milliseconds", optional=optional)


def time_s() -> Integer:
    """Seconds since 1970."""
    return _time(1000, "seconds", optional=False)


def _time(unit: int, name: str, *, optional: bool) -> Integer:
    return Integer(
        low=_FROM // unit,
        high=_UNTIL // unit,
        code=QuarantineCode.TIME_OUT_OF_RANGE,
        meaning=f"no time of 2000 to 2099 in {name}",
        optional=optional,
    )


EVENT_TYPE: Final = Integer(
    low=0, high=5, code=QuarantineCode.UNKNOWN_EVENT_TYPE, meaning="no event type: they are 0 to 4"
)
COUNT: Final = Integer(low=0, high=INT64, meaning="no number of things")
PIXELS: Final = Integer(low=1, high=_INT32, meaning="no number of pixels", optional=True)
LENGTH_MS: Final = Integer(low=1, high=_UNTIL - _FROM, meaning="no length of a bucket")
SPAN_MS: Final = Integer(low=_FROM - _UNTIL, high=_UNTIL - _FROM, meaning="no span of time")
NAME: Final = Text(key=True, named=True)
KEY: Final = Text(key=True)
