"""One JSON object of a lease, read member by member: each of its form, or ``ValueError`` names the place.

What is said there is never repeated: a message may go to a log. Members nobody asks for are not looked at.
"""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final, TypeVar

from tapi_agent.domain.evidence import normalized

if TYPE_CHECKING:
    from collections.abc import Iterator
    from enum import StrEnum

    Word = TypeVar("Word", bound=StrEnum)

_RFC_3339: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)", re.ASCII)
_LONGEST_TEXT: Final = 255
_LONGEST_SPAN: Final = 10**10
"""Seconds: three centuries, which every calendar has room for."""


class Section:
    """The members of the object at ``place``."""

    def __init__(self, value: object, place: str) -> None:
        if not isinstance(value, dict):
            raise ValueError(f"{place} is not an object")  # noqa: TRY004 - what was read is wrong, not who called
        self._members: dict[str, object] = value
        self._place = place

    def __contains__(self, name: str) -> bool:
        return name in self._members

    def section(self, name: str) -> Section:
        """An object; absent or null, it is empty."""
        value = self._members.get(name)
        return Section({} if value is None else value, f"{self._place}.{name}")

    def sections(self, name: str) -> Iterator[Section]:
        """The objects of a list."""
        for value in self._list(name):
            yield Section(value, f"{self._place}.{name}[]")

    def text(self, name: str) -> str:
        """Printable text: such as every store can keep, and no terminal is steered by."""
        return self._text(self._members.get(name), name)

    def texts(self, name: str) -> tuple[str, ...]:
        """A list of texts."""
        return tuple(self._text(value, name) for value in self._list(name))

    def optional_text(self, name: str) -> str | None:
        """The same, or ``None`` where it is absent or null."""
        return None if self._members.get(name) is None else self.text(name)

    def camera(self, name: str) -> str:
        """Text that may be empty, but must be there."""
        return "" if self._members.get(name) == "" else self.text(name)

    def pairs(self, name: str) -> dict[str, str]:
        """An object of texts."""
        members = self.section(name)._members  # noqa: SLF001 - of the same class
        return {self._text(key, name): self._text(value, name) for key, value in members.items()}

    def word(self, name: str, words: type[Word]) -> Word:
        """One of an enumeration's words."""
        try:
            return words(self.text(name))
        except ValueError as error:
            raise self._wrong(name, f"one of {', '.join(words)}") from error

    def flag(self, name: str) -> bool:
        """True or false; absent or null, it is false."""
        value = self._members.get(name)
        if value is not None and not isinstance(value, bool):
            raise self._wrong(name, "true or false")
        return bool(value)

    def count(self, name: str, biggest: int) -> int:
        """A whole number from 0 to ``biggest``."""
        value = self._members.get(name)
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= biggest:
            raise self._wrong(name, f"a whole number from 0 to {biggest}")
        return value

    def optional_count(self, name: str, biggest: int) -> int | None:
        """The same, or ``None`` where it is null; it must be there."""
        return None if self._members.get(name, name) is None else self.count(name, biggest)

    def span(self, name: str, default: timedelta) -> timedelta:
        """A duration in whole seconds; null is none, absent is the default."""
        if name not in self._members:
            return default
        return timedelta(seconds=self.optional_count(name, _LONGEST_SPAN) or 0)

    def moment(self, name: str) -> datetime | None:
        """A time in UTC, cut to microseconds; ``None`` where it is absent or null, or means no date."""
        value = self._members.get(name)
        if value is None:
            return None
        if not isinstance(value, str) or not _RFC_3339.fullmatch(value):
            raise self._wrong(name, "an RFC 3339 time with an offset")
        try:
            return normalized(datetime.fromisoformat(value))
        except ValueError as error:
            raise self._wrong(name, "a time of the calendar") from error

    def _list(self, name: str) -> list[object]:
        value = self._members.get(name)
        if value is not None and not isinstance(value, list):
            raise self._wrong(name, "a list")
        return value or []

    def _text(self, value: object, name: str) -> str:
        if not isinstance(value, str) or not 0 < len(value) <= _LONGEST_TEXT or not value.isprintable():
            raise self._wrong(name, f"1 to {_LONGEST_TEXT} printable characters")
        return value

    def _wrong(self, name: str, wanted: str) -> ValueError:
        return ValueError(f"{self._place}.{name} is not {wanted}")
