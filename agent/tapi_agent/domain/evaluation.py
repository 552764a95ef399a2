"""The verdict on one subject: evidence, trusted time and the link, mapped to a state. Pure and total.

Owns the table of the four states (2-licensing; drawn in docs/license-states.md) and the camera limit. Does not know
where evidence comes from (``domain.evidence``) or which edges are legal (``domain.lifecycle``). Called by
``services.licensing``.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final, NamedTuple

from tapi_agent.domain.license import Flag, LicenseState, LicenseStatus, Reason, Standing, Transition

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from tapi_agent.domain.ids import CameraId
    from tapi_agent.domain.license import Camera, Contact, Evidence

CLOCK_SLACK: Final = timedelta(seconds=300)
"""How far our clock may lag behind the authority's before ``not_before`` bites."""
EXPIRING: Final = timedelta(days=14)
_NEVER: Final = datetime.max.replace(tzinfo=UTC)
_ALWAYS: Final = datetime.min.replace(tzinfo=UTC)
_OVERDUE: Final = frozenset({LicenseStatus.GRACE_PERIOD, LicenseStatus.PAST_DUE})


class Deadlines(NamedTuple):
    """The instants at which a verdict on fixed evidence can change. A tuple: thousands are made at every look."""

    begins: datetime
    stale: datetime
    overrun: datetime
    limit: datetime
    lapses: datetime
    ends: datetime


class Facts(NamedTuple):
    """All that the rules may look at, at instant ``t``."""

    t: datetime
    lost: bool
    evidence: Evidence
    contact: Contact
    deadlines: Deadlines


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One line of the table; ``reason`` ``None`` stands for the reason of the denial itself."""

    row: int
    when: str
    state: LicenseState
    reason: Reason | None
    holds: Callable[[Facts], bool]


RULES: Final = (
    Rule(
        row=2,
        when="denied",
        state=LicenseState.EXPIRED,
        reason=None,
        holds=lambda f: f.evidence.denied is not None,
    ),
    Rule(
        row=3,
        when="t < not_before less 300 s",
        state=LicenseState.EXPIRED,
        reason=Reason.NOT_YET_VALID,
        holds=lambda f: f.t < f.deadlines.begins,
    ),
    Rule(
        row=4,
        when="t ≥ valid_until + license grace",
        state=LicenseState.EXPIRED,
        reason=Reason.LICENSE_EXPIRED,
        holds=lambda f: f.t >= f.deadlines.ends,
    ),
    Rule(
        row=5,
        when="lost and t ≥ verified_at + offline allowance + offline grace",
        state=LicenseState.EXPIRED,
        reason=Reason.OFFLINE_LIMIT,
        holds=lambda f: f.lost and f.t >= f.deadlines.limit,
    ),
    Rule(
        row=6,
        when="t ≥ valid_until",
        state=LicenseState.GRACE,
        reason=Reason.LICENSE_LAPSED,
        holds=lambda f: f.t >= f.deadlines.lapses,
    ),
    Rule(
        row=6,
        when="status grace_period or past_due",
        state=LicenseState.GRACE,
        reason=Reason.PAST_DUE,
        holds=lambda f: f.evidence.status in _OVERDUE,
    ),
    Rule(
        row=7,
        when="lost and t ≥ verified_at + offline allowance",
        state=LicenseState.GRACE,
        reason=Reason.OFFLINE_OVERRUN,
        holds=lambda f: f.lost and f.t >= f.deadlines.overrun,
    ),
    Rule(
        row=8,
        when="t ≥ verified_at + freshness, air-gapped",
        state=LicenseState.OFFLINE,
        reason=Reason.AIR_GAPPED,
        holds=lambda f: f.t >= f.deadlines.stale and f.contact.air_gapped,
    ),
    Rule(
        row=8,
        when="t ≥ verified_at + freshness and (lost or not yet attempted)",
        state=LicenseState.OFFLINE,
        reason=Reason.AUTHORITY_UNREACHABLE,
        holds=lambda f: f.t >= f.deadlines.stale and (f.lost or not f.contact.attempted),
    ),
    Rule(
        row=9,
        when="otherwise",
        state=LicenseState.VALID,
        reason=Reason.OK,
        holds=lambda _: True,
    ),
)
"""Rows 2 to 9 in order: the first that holds wins. Row 1 is the absence of evidence."""


def evaluate(
    evidence: Evidence | None, *, now: datetime, contact: Contact, missing: Reason = Reason.NO_LICENSE
) -> Standing:
    """The standing of a subject at trusted time ``now``; ``missing`` is the reason when there is no evidence.

    ``t >= deadline`` belongs to the later state. ``next_transition`` is the first change that silence leads to.
    """
    if evidence is None:
        return Standing(state=LicenseState.EXPIRED, reason=missing)
    deadlines = deadlines_of(evidence)
    rule = _verdict(evidence, deadlines, contact, now, lost=contact.lost_by(now))
    return Standing(
        state=rule.state,
        reason=_reason(rule, evidence),
        next_transition=_next_change(evidence, deadlines, contact, now, rule.state),
        flags=evidence.flags | {Flag.EXPIRING} if _is_expiring(evidence, now, rule.state) else evidence.flags,
    )


def rule_for(evidence: Evidence, *, now: datetime, contact: Contact) -> Rule:
    """The rule that decides at trusted time ``now``: what ``evaluate`` follows. Without evidence it is row 1."""
    return _verdict(evidence, deadlines_of(evidence), contact, now, lost=contact.lost_by(now))


def deadlines_of(evidence: Evidence) -> Deadlines:
    """When each rule about time begins to hold, whatever the link does."""
    durations = evidence.durations
    overrun = _later(evidence.verified_at, durations.offline_allowance)
    lapses = evidence.valid_until or _NEVER
    return Deadlines(
        begins=_later(evidence.not_before, -CLOCK_SLACK) if evidence.not_before else _ALWAYS,
        stale=_later(evidence.verified_at, durations.freshness),
        overrun=overrun,
        limit=_later(overrun, durations.offline_grace),
        lapses=lapses,
        ends=_later(lapses, durations.license_grace),
    )


def beyond_limit(cameras: Iterable[Camera], allowed: int | None) -> frozenset[CameraId]:
    """Cameras that are too many: the first registered keep working. ``allowed`` ``None`` is unlimited."""
    if allowed is None:
        return frozenset()
    in_order = sorted(cameras, key=lambda camera: (camera.registered_at, camera.camera_id))
    return frozenset(camera.camera_id for camera in in_order[max(allowed, 0) :])


def _verdict(evidence: Evidence, deadlines: Deadlines, contact: Contact, t: datetime, *, lost: bool) -> Rule:
    facts = Facts(t=t, lost=lost, evidence=evidence, contact=contact, deadlines=deadlines)
    return next(rule for rule in RULES if rule.holds(facts))


def _reason(rule: Rule, evidence: Evidence) -> Reason:
    return rule.reason or evidence.denied or Reason.NOT_VALID


def _next_change(
    evidence: Evidence, deadlines: Deadlines, contact: Contact, now: datetime, state: LicenseState
) -> Transition | None:
    """The first instant after ``now`` with another state, if nobody answers: the next attempt will then have failed."""
    for at in _instants(deadlines, contact, now):
        lost = contact.lost_at is None or contact.lost_by(at)
        rule = _verdict(evidence, deadlines, contact, at, lost=lost)
        if rule.state is not state:
            return Transition(at=at, to=rule.state, reason=_reason(rule, evidence))
    return None


def _instants(deadlines: Deadlines, contact: Contact, now: datetime) -> list[datetime]:
    d = deadlines
    instants = (d.begins, d.stale, d.overrun, d.limit, d.lapses, d.ends, contact.lost_at or _ALWAYS)
    return sorted(at for at in instants if now < at < _NEVER)


def _is_expiring(evidence: Evidence, now: datetime, state: LicenseState) -> bool:
    until = evidence.valid_until
    return state is LicenseState.VALID and until is not None and until - now <= EXPIRING


def _later(at: datetime, by: timedelta) -> datetime:
    """``at + by``, at the ends of the calendar where it would run over."""
    try:
        return at + by
    except OverflowError:
        return _NEVER if by > timedelta(0) else _ALWAYS
