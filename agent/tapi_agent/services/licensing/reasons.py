"""Why a camera stands as it does, as a value: the rule that fired, and what it looked at. Called by ``questions``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from tapi_agent.domain.evaluation import rule_for
from tapi_agent.domain.remedies import ABSENCES
from tapi_agent.domain.wording import fired

if TYPE_CHECKING:
    from datetime import datetime

    from tapi_agent.domain.evaluation import Deadlines
    from tapi_agent.domain.license import Contact, Evidence, Reason
    from tapi_agent.services.licensing.values import LicenseView

_ABSENT: Final = "no evidence in any reachable tier or file"
_BYPASSED: Final = "BYPASS_LICENSE_CHECK is set (development)"


@dataclass(frozen=True, slots=True, kw_only=True)
class FiredRule:
    """A row of the table, its condition, and that with the instants put in; ``row`` ``None``: the check is bypassed."""

    row: int | None
    condition: str
    holds: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """Why a camera stands as it does at trusted time ``now``.

    ``rule`` of the table of the four states; ``missing`` what is wrong where there is no evidence. ``place`` among the
    cameras, by seniority, of which ``allowed`` may work (``None``: any number). ``meaning`` is a sentence.
    """

    view: LicenseView
    now: datetime
    rule: FiredRule
    missing: Reason | None
    deadlines: Deadlines | None
    contact: Contact
    registered: bool
    place: int | None
    allowed: int | None
    meaning: str
    remedy: str


BYPASS: Final = FiredRule(row=None, condition=_BYPASSED, holds=_BYPASSED)


def fired_rule(evidence: Evidence | None, *, now: datetime, contact: Contact, missing: Reason) -> FiredRule:
    """The row that holds at trusted time ``now``; ``missing`` is what is wrong where there is no evidence."""
    if evidence is None:
        return FiredRule(row=1, condition=_ABSENT, holds=f"{_ABSENT}: {ABSENCES[missing]}")
    rule = rule_for(evidence, now=now, contact=contact)
    return FiredRule(row=rule.row, condition=rule.when, holds=fired(rule, evidence, now))
