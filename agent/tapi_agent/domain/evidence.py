"""What a word of the billing service amounts to, and which of two words is the newer one.

Owns the judgment of a reply, made once, when it is received: from then on a denial is part of the evidence. Does not
know the wire (the adapter has parsed it) nor what evidence means later (``domain.evaluation``). Called by
``services.licensing``.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, Protocol

from tapi_agent.domain.license import Evidence, Flag, LicenseMode, LicenseStatus, Reason

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tapi_agent.domain.license import Durations, Subject

_ZERO_YEAR: Final = 1970
"""Go's zero time is year 1, an unset Unix time is 1970: both mean that there is no date."""
_LAST: Final = datetime(9000, 1, 1, tzinfo=UTC)
"""Later dates are clamped, so that adding a grace period cannot run over the calendar."""
_DENYING: Final = {LicenseStatus.REVOKED: Reason.REVOKED, LicenseStatus.SUSPENDED: Reason.SUSPENDED}


class Word(Protocol):
    """What a reply about one subject says, whatever it came by (``ports.billing.LicenseReply``)."""

    @property
    def is_valid(self) -> bool:
        """The plain yes or no."""

    @property
    def mode(self) -> LicenseMode:
        """What was bought."""

    @property
    def status(self) -> LicenseStatus | None:
        """How the subscription stands, where the service says so."""

    @property
    def packs(self) -> tuple[str, ...]:
        """Growth packs as the service names them."""

    @property
    def valid_until(self) -> datetime | None:
        """The end of what was paid."""

    @property
    def cameras_allowed(self) -> int | None:
        """How many cameras may work; ``None`` is unlimited."""

    @property
    def sequence(self) -> int | None:
        """The order of words, where the service numbers them."""


def judge(word: Word, *, subject: Subject, now: datetime, durations: Durations) -> Evidence:
    """Classic evidence from a reply received at trusted time ``now``.

    A date that contradicts a fresh yes is dropped with the flag DATE_CONFLICT: the yes is the service's word of today.
    """
    until = normalized(word.valid_until)
    conflict = word.is_valid and not _says_expired(word) and until is not None and until <= now
    return Evidence(
        subject=subject,
        mode=word.mode,
        status=word.status or LicenseStatus.ACTIVE,
        verified_at=now,
        valid_until=None if conflict else until,
        packs=word.packs,
        cameras_allowed=word.cameras_allowed,
        sequence=word.sequence or 0,
        denied=denial(word, until, now),
        durations=durations,
        flags=frozenset({Flag.DATE_CONFLICT}) if conflict else frozenset(),
    )


def normalized(at: datetime | None) -> datetime | None:
    """A date of the wire in UTC: years up to 1970 are no date, years from 9000 on are the end of 8999."""
    if at is None or at.year <= _ZERO_YEAR:
        return None
    return _LAST if at.year >= _LAST.year else at.astimezone(UTC)


def denial(word: Word, until: datetime | None, now: datetime) -> Reason | None:
    """A definite no, in a word spoken at ``now``.

    A no whose date has passed is not one: that license lapses by its date, with its grace.
    """
    if word.status in _DENYING:
        return _DENYING[word.status]
    if word.mode is LicenseMode.UNLICENSED:
        return Reason.UNLICENSED
    if until is not None and until <= now:
        return None
    if _says_expired(word):
        return Reason.LICENSE_EXPIRED
    return None if word.is_valid else Reason.NOT_VALID


def restamped(evidence: Evidence, now: datetime) -> Evidence:
    """The clock was set back to ``now``: a word stamped later was heard by now. A lease's own deadline stays put."""
    if evidence.verified_at <= now:
        return evidence
    durations = evidence.durations
    if evidence.signed:
        durations = replace(durations, offline_allowance=durations.offline_allowance + (evidence.verified_at - now))
    return replace(evidence, verified_at=now, durations=durations)


def newer(candidate: Evidence, known: Evidence) -> bool:
    """Whether ``candidate`` outranks ``known``: signed before classic, then by sequence (signed), then by instant."""
    return _rank(candidate) > _rank(known)


def is_stale(word: Word, known: Evidence | None) -> bool:
    """Whether a reply is older than what is known: then it is no answer."""
    return known is not None and word.sequence is not None and word.sequence < known.sequence


def is_news(evidence: Evidence, known: Evidence) -> bool:
    """Whether a newer word says anything else than what was known, beyond the same once more."""
    return _content(evidence) != _content(known)


def camera_limit(tenant: Evidence | None, cameras: Iterable[Evidence]) -> int | None:
    """How many cameras may work; ``None`` is unlimited.

    The tenant's evidence says it, else the newest word on any camera. A denial speaks only about its own subject: the
    limit of a refused camera (often 0) must not stop the others. Sequences are of one subject: of several, the instant
    decides.
    """
    if tenant is not None and tenant.denied is None:
        return tenant.cameras_allowed
    granted = (evidence for evidence in cameras if evidence.denied is None)
    newest = max(granted, key=lambda evidence: (evidence.signed, evidence.verified_at), default=None)
    return None if newest is None else newest.cameras_allowed


def _says_expired(word: Word) -> bool:
    return word.mode is LicenseMode.EXPIRED or word.status is LicenseStatus.EXPIRED


def _rank(evidence: Evidence) -> tuple[bool, int, datetime]:
    return evidence.signed, evidence.sequence if evidence.signed else 0, evidence.verified_at


def _content(evidence: Evidence) -> tuple[object, ...]:
    packs = frozenset(evidence.packs)  # a service may name them in any order
    until = evidence.valid_until
    return evidence.mode, evidence.status, evidence.denied, packs, until, evidence.cameras_allowed
