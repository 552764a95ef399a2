"""Answers to questions about licenses as JSON documents; the others are in ``api/schemas.py``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tapi_agent.api.schemas import license_document, plain
from tapi_agent.domain.remedies import ABSENCES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tapi_agent.domain.evaluation import Deadlines
    from tapi_agent.domain.events import LicenseChanged
    from tapi_agent.services.licensing.questions import Simulation
    from tapi_agent.services.licensing.reasons import Explanation
    from tapi_agent.services.timekeeping import ClockReport

_NO_END = 9000
"""From this year on, and in year 1, a deadline means that there is none."""


def explanation_document(explained: Explanation, *, clock: ClockReport, drifted: Sequence[str] = ()) -> dict[str, Any]:
    """Why a camera stands as it does: its license, the rule, the instants in it, link and clock, the remedy.

    ``evidence_of`` is the camera the evidence speaks of ("" the tenant), ``age_s`` how old it is, ``missing`` what is
    wrong where there is none.
    """
    evidence, missing = explained.view.evidence, explained.missing
    return {
        **license_document(explained.view),
        "evidence_of": evidence and evidence.subject.camera_id,
        "age_s": (explained.now - evidence.verified_at).total_seconds() if evidence else None,
        "missing": missing and {"reason": missing, "detail": ABSENCES[missing]},
        "now": plain(explained.now),
        "registered": explained.registered,
        "rule": plain(explained.rule),
        "deadlines": explained.deadlines and _deadlines(explained.deadlines),
        "contact": plain(explained.contact),
        "place": explained.place,
        "allowed": explained.allowed,
        "clock": {"flags": sorted(clock.flags), "fixes": plain(clock.fixes)},
        "drifted": list(drifted),
        "meaning": explained.meaning,
        "remedy": explained.remedy,
    }


def simulation_document(simulation: Simulation) -> dict[str, Any]:
    """The states ahead, the worst outlook first."""
    document: dict[str, Any] = plain(simulation)
    return document


def edge_document(change: LicenseChanged) -> dict[str, Any]:
    """One change of state."""
    return {
        "edge_id": str(change.edge_id),
        "camera_id": change.subject.camera_id,
        "old": change.old,
        "new": change.new,
        "reason": change.reason,
        "at": plain(change.at),
    }


def _deadlines(deadlines: Deadlines) -> dict[str, Any]:
    return {name: plain(at) if 1 < at.year < _NO_END else None for name, at in deadlines._asdict().items()}
