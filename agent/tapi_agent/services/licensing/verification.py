"""What a stored text is worth on this box: verified on every load, whichever tier it comes from.

Signed evidence is stored as the lease file itself and proved by its signature, classic evidence by the device's seal.
What fails is a miss of its tier: reported, never a verdict. Called by the evidence store.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

import structlog

from tapi_agent.domain.errors import IntegrityError
from tapi_agent.domain.lease import LeaseRefusedError
from tapi_agent.domain.license import Reason

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tapi_agent.domain.ids import CameraId
    from tapi_agent.domain.license import Evidence, Subject
    from tapi_agent.ports.licenses import EvidenceSealer
    from tapi_agent.services.licensing.values import Surroundings

log = structlog.get_logger(__name__)

_ARMOR: Final = "-----BEGIN "
_IN_ONE_GO: Final = 40
"""Texts verified before others get their turn on the loop; a lease takes a fifth of a millisecond."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Word:
    """Evidence with its proof: ``lease`` is the text of its file, empty for classic evidence.

    ``drifted`` names the marks of this machine that have changed since a lease was issued.
    """

    evidence: Evidence
    lease: str = ""
    drifted: tuple[str, ...] = ()


@dataclass(slots=True)
class Verified:
    """What the texts of a tier are worth: words by camera, and why the others are none.

    ``elsewhere`` counts those of this tenant that are labelled as another device's.
    """

    words: dict[CameraId, Word] = field(default_factory=dict)
    refused: dict[CameraId, IntegrityError] = field(default_factory=dict)
    elsewhere: int = 0

    def reasons(self) -> Mapping[CameraId, Reason]:
        """Why, as row 1 of the table has it."""
        return {camera_id: reason_of(error) for camera_id, error in self.refused.items()}

    def is_copied(self) -> bool:
        """Whether all that there is is another device's."""
        return self.elsewhere > 0 and not self.words and not self.refused


class Verifier:
    """Verifies stored texts, and seals classic evidence."""

    def __init__(self, around: Surroundings, sealer: EvidenceSealer) -> None:
        self._tenant = around.tenant
        self._durations = around.policy.durations
        self._leases = around.leases
        self._sealer = sealer

    def seal(self, evidence: Evidence) -> str:
        """Classic evidence as it is stored."""
        return self._sealer.seal(evidence)

    async def verify(self, stored: Mapping[Subject, str]) -> Verified:
        """Verify what is labelled as ours, a few texts at a time; labels decide nothing else."""
        ours = {label: text for label, text in stored.items() if self._is_ours(label)}
        verified = Verified(elsewhere=sum(map(self._is_of_another_device, stored)))
        for number, (label, text) in enumerate(ours.items(), start=1):
            try:
                word = self._read(text)
                verified.words[word.evidence.subject.camera_id] = word
            except IntegrityError as error:
                verified.refused[label.camera_id] = error
            if number % _IN_ONE_GO == 0:
                await asyncio.sleep(0)
        return verified

    def _read(self, text: str) -> Word:
        if text.startswith(_ARMOR):
            examined = self._leases.examine(text)
            return Word(evidence=examined.evidence, lease=text, drifted=examined.drifted)
        return Word(evidence=self._classic(self._sealer.unseal(text)))

    def _classic(self, evidence: Evidence) -> Evidence:
        """Classic durations are the settings of today. The device's own seal cannot make evidence a signed one."""
        if evidence.signed or not self._is_ours(evidence.subject):
            raise IntegrityError(
                "sealed by this device, but not for this device and tenant, or as if it were signed",
                fix="the billing service's next answer replaces it",
            )
        own = replace(self._tenant, camera_id=evidence.subject.camera_id)  # shares the ids: a thousand copies add up
        return replace(evidence, subject=own, durations=self._durations)

    def _is_of_another_device(self, subject: Subject) -> bool:
        return subject.tenant_id == self._tenant.tenant_id and subject.device_id != self._tenant.device_id

    def _is_ours(self, subject: Subject) -> bool:
        return (subject.device_id, subject.tenant_id) == (self._tenant.device_id, self._tenant.tenant_id)


def reason_of(error: IntegrityError) -> Reason:
    """Which reason of row 1 of the table an error stands for."""
    return error.reason if isinstance(error, LeaseRefusedError) else Reason.EVIDENCE_INVALID
