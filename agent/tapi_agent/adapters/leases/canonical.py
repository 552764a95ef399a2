"""Text that has one spelling only: base64 and JSON, read strictly. ``ValueError`` says what is wrong, not what it read.

A file in which nothing can be changed unseen must not have two spellings of the same bytes (ADR 0060).
"""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from binascii import Error
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from collections.abc import Sequence


def from_base64(text: str) -> bytes:
    """The bytes of canonical base64: padded, without spaces, unused bits zero."""
    try:
        data = b64decode(text, validate=True)
    except (Error, ValueError) as error:
        raise ValueError("not base64") from error
    if b64encode(data).decode() != text:
        raise ValueError("base64 of another spelling than the canonical one")
    return data


def json_object(data: bytes) -> dict[str, object]:
    """The object of a JSON text in UTF-8; no name twice, no NaN, and nothing too deep or too long to be read."""
    try:
        found = json.loads(data.decode(), object_pairs_hook=_unique, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise ValueError("not JSON, or a name occurs twice") from error
    if not isinstance(found, dict):
        raise ValueError("no JSON object")  # noqa: TRY004 - what was read is wrong, not who called
    return found


def _unique(pairs: Sequence[tuple[str, object]]) -> dict[str, object]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError
    return members


def _no_constant(_name: str) -> NoReturn:
    raise ValueError
