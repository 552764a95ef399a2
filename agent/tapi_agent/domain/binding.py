"""Whether this is the machine that a lease was made for: hashed marks of its parts, compared. Pure.

Owns the weights and the rule. The marks are read by ``adapters.hardware``; ``services.licensing`` compares.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

MACHINE_ID: Final = "machine_id"
_WEIGHTS: Final = {MACHINE_ID: 0.5}
_ENOUGH: Final = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    """How this machine compares with the marks of a lease; ``drifted`` names those that differ or are gone."""

    same_machine: bool
    drifted: tuple[str, ...] = ()


def compare(recorded: Mapping[str, str], found: Mapping[str, str]) -> Match:
    """At least two parts, or half of what was recorded, must be the same: one changed part is no other machine."""
    drifted = tuple(sorted(name for name, mark in recorded.items() if found.get(name) != mark))
    total = sum(map(_weight, recorded))
    matching = total - sum(map(_weight, drifted))
    return Match(same_machine=matching >= min(_ENOUGH, total / 2), drifted=drifted)


def _weight(name: str) -> float:
    return _WEIGHTS.get(name, 1.0)
