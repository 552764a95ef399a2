"""What a reply about a license is worth: classic, or nothing but its lease where a key is trusted.

Makes the question too, since a lease must hold its nonce. Decides neither when to ask nor what becomes of the evidence.
Called by ``hearing``.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from tapi_agent.domain.errors import IntegrityError
from tapi_agent.domain.evidence import is_stale, judge, newer
from tapi_agent.ports.billing import Question

if TYPE_CHECKING:
    from tapi_agent.domain.lease import Lease
    from tapi_agent.domain.license import Evidence, Subject
    from tapi_agent.ports.billing import LicenseReply
    from tapi_agent.services.licensing.values import Surroundings

_NONCE_BYTES: Final = 16
_STANDS: Final = "what was known before stays in force; tell the operators of the service if it lasts"


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """Evidence just heard, with the reply or the ``lease`` that it was made of; ``drifted`` as in ``Examined``."""

    evidence: Evidence
    raw: str = ""
    lease: str = ""
    drifted: tuple[str, ...] = ()


class Answers:
    """Makes questions and judges replies; what is no answer is an ``IntegrityError`` that says why."""

    def __init__(self, around: Surroundings) -> None:
        self._clock = around.clock
        self._machine = around.machine
        self._leases = around.leases
        self._entropy = around.entropy
        self._durations = around.policy.durations

    def question(self, known: Evidence | None) -> Question:
        """A question about a subject of which this is known; with a nonce of its own where a key is trusted."""
        return Question(
            sequence=known.sequence if known else 0,
            wall=self._machine.wall(),
            trusted=self._clock.now(),
            components=self._leases.components(),
            nonce=self._entropy(_NONCE_BYTES).hex() if self._leases.trusted else None,
        )

    def judge(
        self, reply: LicenseReply, *, subject: Subject, known: Evidence | None, nonce: str | None = None
    ) -> Heard:
        """The evidence in a reply to the question with this ``nonce``. Raises ``IntegrityError``."""
        if nonce is None:
            return self._classic(reply, subject, known)
        return self._signed(reply.lease, subject, known, nonce)

    def _classic(self, reply: LicenseReply, subject: Subject, known: Evidence | None) -> Heard:
        if reply.server_time is not None:
            self._clock.authority_said(reply.server_time)
        if is_stale(reply, known):
            raise IntegrityError(f"the reply is older than what is known (sequence {reply.sequence})", fix=_STANDS)
        evidence = judge(reply, subject=subject, now=self._clock.now(), durations=self._durations)
        if reply.sequence is None and known is not None:  # a report numbers no cameras: their count goes on
            evidence = replace(evidence, sequence=known.sequence)
        return Heard(evidence=evidence, raw=reply.raw)

    def _signed(self, text: str, subject: Subject, known: Evidence | None, nonce: str) -> Heard:
        """Holding the nonce, the lease is of this moment: the time it was issued is the authority's."""
        if not text:
            raise IntegrityError(
                "unsigned reply while a key is trusted: it holds no lease",
                fix="the service must issue leases to this tenant; without them, unset TRUSTED_KEYS",
            )
        examined = self._leases.examine(text)
        _require_answer(examined.lease, nonce)
        _require_subject(examined.evidence, subject)
        _require_order(examined.evidence, known)
        self._clock.authority_said(examined.lease.issued)
        return Heard(evidence=examined.evidence, lease=text, drifted=examined.drifted)


def _require_answer(lease: Lease, nonce: str) -> None:
    if lease.nonce != nonce:
        raise IntegrityError("the lease answers another request: a replay, or a cache on the way", fix=_STANDS)


def _require_subject(evidence: Evidence, asked: Subject) -> None:
    if evidence.subject != asked:
        given = evidence.subject.camera_id
        raise IntegrityError(f"the lease is for another subject: {_named(given)}", fix=_STANDS)


def _require_order(evidence: Evidence, known: Evidence | None) -> None:
    if known is not None and newer(known, evidence):
        raise IntegrityError(
            f"the lease is older than what is known: sequence {evidence.sequence} issued "
            f"{evidence.verified_at:%Y-%m-%d %H:%M:%S}, "
            f"known {known.sequence} of {known.verified_at:%Y-%m-%d %H:%M:%S}",
            fix=_STANDS,
        )


def _named(camera_id: str) -> str:
    return f"camera {camera_id}" if camera_id else "the tenant"
