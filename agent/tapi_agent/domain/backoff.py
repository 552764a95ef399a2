"""How long to wait after failures: full jitter, so that devices which failed together do not come back together."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from datetime import timedelta

_MOST_DOUBLINGS: Final = 32
CHANCE_BYTES: Final = 6
"""Random bytes for one wait; more would not fit a float."""


def full_jitter(failures: int, *, first: timedelta, limit: timedelta, entropy: bytes) -> timedelta:
    """A wait between nothing and ``first`` doubled with every failure after the first, at most ``limit``.

    ``entropy``: ``CHANCE_BYTES`` random bytes or more.
    """
    doublings = min(max(failures - 1, 0), _MOST_DOUBLINGS)
    return min(limit, first * (1 << doublings)) * fraction(entropy)


def fraction(entropy: bytes) -> float:
    """The first bytes as a number from 0 to below 1."""
    return int.from_bytes(entropy[:CHANCE_BYTES], "big") / (1 << 8 * CHANCE_BYTES)
