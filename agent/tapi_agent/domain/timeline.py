"""The states that lie ahead of a subject while nobody answers: ``evaluate``, from one transition to the next.

Owns no rule of its own. Called by ``services.licensing`` to simulate, and by ``license inspect``.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from tapi_agent.domain.evaluation import evaluate, rule_for

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from tapi_agent.domain.license import Contact, Evidence, LicenseState, Reason


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """A state from ``at`` until the next span begins; ``row`` of the table of the four states."""

    at: datetime
    state: LicenseState
    reason: Reason
    row: int


def timeline(evidence: Evidence, *, start: datetime, until: datetime, contact: Contact) -> Sequence[Span]:
    """The spans from trusted time ``start`` to ``until``, both included; ``contact`` is how the link stands at first.

    A span begins where the state changes; the first is the state at ``start``, the second ``next_transition``.
    """
    return list(_spans(evidence, start, until, contact))


def silent(contact: Contact) -> Contact:
    """The link once the next attempt has failed; where none has been made yet, silence still gets its time."""
    return contact if contact.lost_at is not None else replace(contact, lost=True)


def _spans(evidence: Evidence, at: datetime, until: datetime, contact: Contact) -> Iterator[Span]:
    while True:
        standing = evaluate(evidence, now=at, contact=contact)
        row = rule_for(evidence, now=at, contact=contact).row
        yield Span(at=at, state=standing.state, reason=standing.reason, row=row)
        upcoming = standing.next_transition
        if upcoming is None or upcoming.at > until:
            return
        at, contact = upcoming.at, silent(contact)
