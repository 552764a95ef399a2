"""The forms of JSON values: each takes a parsed value and gives a typed one, or says by ``ValueError`` what it wants.

``required`` and ``optional`` apply a form to a field and turn its complaint into an ``IntegrityError``: no answer,
never a verdict. Unknown fields are not looked at.
"""

from __future__ import annotations

import json
from decimal import Decimal
from typing import TYPE_CHECKING, Final, NoReturn, TypeVar
from uuid import UUID

from tapi_agent.adapters.billing.moments import instant
from tapi_agent.domain.errors import IntegrityError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

_T = TypeVar("_T")

_BIGGEST_COUNT: Final = 2**63 - 1
_BIGGEST_SUM: Final = Decimal("1E30")
_LONGEST_TEXT: Final = 1024
_LONGEST_RAW: Final = 16 * 1024
_LONGEST_LEASE: Final = 64 * 1024
_ARMOR: Final = b"-----BEGIN "


class Document(dict[str, object]):
    """The JSON object of a reply, and the ``body`` that it was read from."""

    body = b""


def document(body: bytes) -> Document:
    """The JSON object in a body, fractions as ``Decimal``. ``ValueError`` when it is not JSON at all."""
    try:
        found = json.loads(body, parse_float=Decimal, parse_constant=_no_constant)
    except RecursionError as error:
        raise ValueError("nested too deep") from error
    if not isinstance(found, dict):
        raise _malformed("it", "an object", found)
    reply = Document(found)
    reply.body = body
    return reply


def raw(body: bytes) -> str:
    """A body as it came, to be kept for people; empty when it is longer than 16 KiB or no UTF-8."""
    try:
        return body.decode() if len(body) <= _LONGEST_RAW else ""
    except UnicodeDecodeError:
        return ""


def without_lease(reply: Document) -> bytes:
    """The body, but for the lease: that is for machines, and is kept elsewhere."""
    return rendered(reply | {"lease": "***"}) if "lease" in reply else reply.body


def rendered(document: Mapping[str, object]) -> bytes:
    """A part of a reply as JSON again, for people: fractions as text."""
    return json.dumps(document, default=str).encode()


def without_armor(body: bytes) -> bytes:
    """Cut off where a lease begins, in whatever it stands."""
    before, armor, _ = body.partition(_ARMOR)
    return before + b"***" if armor else body


def required(reply: Document, key: str, form: Callable[[object], _T]) -> _T:
    """The field in its form; absent is malformed."""
    try:
        return form(reply.get(key))
    except ValueError as error:
        raise _malformed(key, str(error), reply.get(key)) from error


def optional(reply: Document, key: str, form: Callable[[object], _T]) -> _T | None:
    """The field in its form; absent and null are ``None``."""
    return None if reply.get(key) is None else required(reply, key, form)


def flag(value: object) -> bool:
    """A boolean, and no number that looks like one."""
    if isinstance(value, bool):
        return value
    raise ValueError("true or false")


def whole(value: object) -> int:
    """An integer, and no boolean or fraction."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    raise ValueError("a whole number")


def count(value: object) -> int:
    """An integer that counts something and fits a database's."""
    number = whole(value)
    if 0 <= number <= _BIGGEST_COUNT:
        return number
    raise ValueError("a whole number from 0 to 2^63 - 1")


def amount(value: object) -> Decimal:
    """An exact number of a size that can be calculated with."""
    if isinstance(value, Decimal | int) and not isinstance(value, bool) and abs(Decimal(value)) < _BIGGEST_SUM:
        return Decimal(value)
    raise ValueError("a number below 10^30")


def remaining(value: object) -> Decimal:
    """What is left of something; -1 is without end."""
    left = amount(value)
    if left >= 0 or left == -1:
        return left
    raise ValueError("-1 or a number from 0")


def text(value: object) -> str:
    """Text that every store can keep: no NUL, no lone surrogate (``encode`` refuses it)."""
    if isinstance(value, str) and len(value) <= _LONGEST_TEXT and "\0" not in value and value.encode():
        return value
    raise ValueError(f"text of 1 to {_LONGEST_TEXT} characters")


def lease(value: object) -> str:
    """The text of a lease file, which is longer than others."""
    if isinstance(value, str) and len(value) <= _LONGEST_LEASE:
        return value
    raise ValueError(f"a lease file of at most {_LONGEST_LEASE} characters")


def items(value: object) -> list[object]:
    """A list of anything."""
    if isinstance(value, list):
        return value
    raise ValueError("a list")


def texts(value: object) -> tuple[str, ...]:
    """A list of texts."""
    return tuple(map(text, items(value)))


def moment(value: object) -> datetime | None:
    """A time as ``moments.instant`` reads it."""
    return instant(text(value))


def uuid(value: object) -> UUID:
    """A UUID written as text."""
    return UUID(text(value))


def word(*choices: str) -> Callable[[object], str]:
    """The form of one of these words."""

    def form(value: object) -> str:
        if isinstance(value, str) and value in choices:
            return value
        raise ValueError(" or ".join(choices))

    return form


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _malformed(key: str, wanted: str, found: object) -> IntegrityError:
    shown = without_armor(ascii(found).encode()).decode()[:60]
    return IntegrityError(
        f"malformed reply of the billing service: {key} is {shown}, the contract says {wanted}",
        fix="tell the operators of the service; what was known before stays in force",
    )
