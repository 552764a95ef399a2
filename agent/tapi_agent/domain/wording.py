"""A verdict in words: the sentence of its reason, and the rule that fired with its instants put in. Pure.

The texts are in ``domain.remedies`` and ``domain.evaluation``; this fills them. Called by ``services.licensing``.
"""

from __future__ import annotations

import re
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from tapi_agent.domain.remedies import MEANINGS

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from tapi_agent.domain.evaluation import Rule
    from tapi_agent.domain.license import Evidence, Reason

_UNITS: Final = (("d", timedelta(days=1)), ("h", timedelta(hours=1)), ("min", timedelta(minutes=1)))
_SECOND: Final = timedelta(seconds=1)
_FOR_EVER: Final = timedelta(days=365 * 1000)
_TEENS: Final = range(11, 14)
_ENDINGS: Final = {1: "st", 2: "nd", 3: "rd"}
_UNKNOWN: Final = "-"
_FILLED: Final[dict[str, Callable[[Evidence, datetime], str]]] = {
    "t": lambda _, now: f"t {moment(now)}",
    "not_before": lambda evidence, _: f"not_before {moment(evidence.not_before)}",
    "valid_until": lambda evidence, _: f"valid_until {moment(evidence.valid_until)}",
    "verified_at": lambda evidence, _: f"verified_at {moment(evidence.verified_at)}",
    "freshness": lambda evidence, _: f"freshness {length(evidence.durations.freshness)}",
    "offline allowance": lambda evidence, _: f"offline allowance {length(evidence.durations.offline_allowance)}",
    "offline grace": lambda evidence, _: f"offline grace {length(evidence.durations.offline_grace)}",
    "license grace": lambda evidence, _: f"license grace {length(evidence.durations.license_grace)}",
    "denied": lambda evidence, _: f"denied: {evidence.denied}",
    "grace_period or past_due": lambda evidence, _: str(evidence.status),
    "otherwise": lambda _, now: f"otherwise: no other row holds at t {moment(now)}",
}
_NAMES: Final = re.compile(rf"\b(?:{'|'.join(_FILLED)})\b")


def fired(rule: Rule, evidence: Evidence, now: datetime) -> str:
    """The condition of ``rule`` with what this evidence says: ``t 2027-… ≥ verified_at 2027-… + freshness 1 h``."""
    return _NAMES.sub(lambda name: _FILLED[name[0]](evidence, now), rule.when)


def sentence(
    reason: Reason,
    *,
    who: str,
    now: datetime,
    evidence: Evidence | None = None,
    place: int | None = None,
    allowed: int | None = None,
) -> str:
    """How ``who`` stands, and why, at trusted time ``now``."""
    return MEANINGS[reason].format(
        who=who or "the tenant",
        heard=age(now - evidence.verified_at) if evidence else _UNKNOWN,
        ended=moment(evidence.valid_until if evidence else None),
        begins=moment(evidence.not_before if evidence else None),
        place=ordinal(place) if place is not None else _UNKNOWN,
        allowed=_UNKNOWN if allowed is None else allowed,
    )


def moment(at: datetime | None) -> str:
    """An instant in UTC, to the second."""
    return f"{at:%Y-%m-%d %H:%M:%S} UTC" if at else _UNKNOWN


def age(between: timedelta) -> str:
    """A duration in its largest unit: ``3 h``."""
    for name, unit in _UNITS:
        if between >= unit:
            return f"{between // unit} {name}"
    return f"{max(0, between // _SECOND)} s"


def length(span: timedelta) -> str:
    """A duration to the second, in all its units: ``1 d 30 min``."""
    if span >= _FOR_EVER:
        return "without end"
    parts = []
    for name, unit in (*_UNITS, ("s", _SECOND)):
        count, span = divmod(span, unit)
        parts += [f"{count} {name}"] if count else []
    return " ".join(parts) or "0 s"


def ordinal(number: int) -> str:
    """``1st``, ``2nd``, ``3rd``, ``11th``."""
    ending = "th" if number % 100 in _TEENS else _ENDINGS.get(number % 10, "th")
    return f"{number}{ending}"
