"""Times to live, as Redis counts them."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

_MILLISECOND: Final = timedelta(milliseconds=1)


def milliseconds(ttl: timedelta) -> int:
    """At least one: Redis refuses a value that is not to live at all."""
    return max(1, ttl // _MILLISECOND)


def remaining(answer: int) -> timedelta | None:
    """What PTTL says: ``None`` when there is no such key, ``timedelta.max`` when it does not expire."""
    match answer:
        case -2:
            return None
        case -1:
            return timedelta.max
        case _:
            return answer * _MILLISECOND
