"""Takes secrets out of what is about to be logged: values under telling keys, and telling patterns in any text."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Final

MASK: Final = "********"
_DEEPEST: Final = 8
_KEY: Final = re.compile(
    r"passw(or)?d|passphrase|secret|authorization|credential|cookie"
    r"|(api|license|private|device)[-_ ]?key|token$|dsn$|(^|[-_])lease$",
    re.IGNORECASE,
)
_ASSIGNED: Final = r"""(["']?\s*[=:]\s*)("[^"]*"|'(?:[^'\\]|\\.)*'|[^\s,;&"']+)"""
_TEXT: Final = tuple(
    (re.compile(pattern, re.IGNORECASE | re.DOTALL), replacement)
    for pattern, replacement in (
        (r"://\S{1,512}@", f"://{MASK}@"),  # bounded: a long line full of :// must not cost its square
        (r"\bbearer +[\w+/=.~-]+", f"Bearer {MASK}"),
        (r"(authorization[\"']?\s*[:=]\s*[\"']?)(\w+ +)?[^\s\"',]+", rf"\1{MASK}"),
        (r"(password|(?:api|license)[-_]?key)" + _ASSIGNED, rf"\1\2{MASK}"),
        (r"-----BEGIN [A-Z ]+-----.*?(-----END [A-Z ]+-----|\Z)", MASK),
    )
)


def redacted(value: object, *, depth: int = 0) -> object:
    """``value`` with every secret masked; mappings and sequences are copied, what lies deeper than 8 levels is cut."""
    match value:
        case bool() | int() | float() | None:
            return value
        case Mapping() if depth < _DEEPEST:
            return {str(key): _under(str(key), item, depth=depth + 1) for key, item in value.items()}
        case list() | tuple() | set() | frozenset() if depth < _DEEPEST:
            return [redacted(item, depth=depth + 1) for item in value]
        case Mapping() | list() | tuple() | set() | frozenset():
            return "..."
        case _:
            return redacted_text(value.isoformat() if isinstance(value, datetime) else str(value))


def _under(key: str, value: object, *, depth: int) -> object:
    return MASK if _KEY.search(key) else redacted(value, depth=depth)


def redacted_text(text: str) -> str:
    """``text`` without logins in URLs, bearer tokens, passwords and armored license files."""
    for pattern, replacement in _TEXT:
        text = pattern.sub(replacement, text)
    return text
