"""What could not be taken over, whole and with the reason."""

from __future__ import annotations

import json
import math
from base64 import b64encode
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tapi_agent.domain.importing.checks import Undecodable

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tapi_agent.domain.importing.flaws import Flaw


@dataclass(frozen=True, slots=True, kw_only=True)
class SetAside:
    """A row of an old table; no ``row_number``: the table as a whole, and no ``table``: the file.

    ``content`` is JSON in UTF-8: an array of [column, SQLite type, value], blobs and text that is no UTF-8 in base64.
    """

    table: str = ""
    row_number: int | None = None
    flaw: Flaw
    content: bytes


def content(values: Iterable[tuple[str, object]]) -> bytes:
    """Names and values as the ``content`` of a ``SetAside``."""
    return json.dumps([[name, *_typed(value)] for name, value in values], ensure_ascii=False).encode()


def _typed(value: object) -> tuple[str, object]:
    match value:
        case None:
            return "null", None
        case int():
            return "integer", value
        case float():
            return "real", value if math.isfinite(value) else str(value)
        case str():
            return "text", value
        case Undecodable():
            return "text", b64encode(value).decode()
        case bytes():
            return "blob", b64encode(value).decode()
        case _:
            raise TypeError(f"SQLite has no {type(value).__name__}")
