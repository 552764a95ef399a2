"""Evidence in memory and in the tiers: what is kept is evidence, never a verdict, and each load verifies it.

Owns which evidence is held and which tier still lacks it. A tier that is down is a miss and a connectivity note; when
it comes back it is read again and filled from memory.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Final

import structlog

from tapi_agent.domain.errors import IntegrityError, TapiError, UnavailableError
from tapi_agent.domain.evidence import newer
from tapi_agent.domain.ids import TENANT
from tapi_agent.ports.licenses import BulkTier, SealedEvidence

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from tapi_agent.domain.ids import CameraId
    from tapi_agent.domain.license import Evidence
    from tapi_agent.ports.licenses import EvidenceSealer, EvidenceTier
    from tapi_agent.services.licensing.values import Surroundings

log = structlog.get_logger(__name__)

_PATIENCE: Final = 1.0
"""Seconds a tier may take at start."""
_AT_ONCE: Final = 500
"""Words in one go, in a tier that takes many; sealing more of them would hold up the loop."""
_SIDE_BY_SIDE: Final = 16
"""Saves at once in a tier that takes them one by one, which others use too."""
_MOST_REPLIES: Final = 1000
_RETRY: Final = timedelta(seconds=5)


@dataclass(frozen=True, slots=True)
class Held:
    """Evidence and the tier it came from."""

    evidence: Evidence
    tier: str


class EvidenceStore:
    """All evidence of this device and tenant. ``tiers``: the local file first, read before the others."""

    def __init__(self, around: Surroundings, *, tiers: Sequence[EvidenceTier], sealer: EvidenceSealer) -> None:
        self._tenant = around.tenant
        self._durations = around.policy.durations
        self._clock = around.clock
        self._machine = around.machine
        self._connectivity = around.connectivity
        self._tiers = tiers
        self._sealer = sealer
        self._held: dict[CameraId, Held] = {}
        self._unsaved: dict[str, set[CameraId]] = {tier.name: set() for tier in tiers}
        self._retry_at: dict[str, timedelta] = {}
        self._recovered: set[str] = set()
        self._replies: dict[CameraId, str] = {}
        self.damaged = False

    async def start(self) -> None:
        """Load the newest evidence of every tier that answers within a second; the local file comes first."""
        for tier in self._tiers[:1]:
            await self._consult(tier)
        await asyncio.gather(*(self._consult(tier) for tier in self._tiers[1:]))
        for tier in self._tiers:
            self._connectivity.on_recovery(tier.name, partial(self._recovered.add, tier.name))

    def get(self, camera_id: CameraId) -> Held | None:
        """The evidence of a camera's own; ``TENANT`` for the tenant's."""
        return self._held.get(camera_id)

    def cameras(self) -> Iterator[tuple[CameraId, Evidence]]:
        """Cameras with evidence of their own."""
        return ((camera_id, held.evidence) for camera_id, held in self._held.items() if camera_id != TENANT)

    def adopt(self, evidence: Evidence, tier: str, *, raw: str = "") -> None:
        """Hold this from now on and let every tier know, soon, with the reply it was made of."""
        camera_id = evidence.subject.camera_id
        self._held[camera_id] = Held(evidence, tier)
        self._replies.pop(camera_id, None)
        if raw and len(self._replies) < _MOST_REPLIES:  # a tier may be down for long
            self._replies[camera_id] = raw
        for unsaved in self._unsaved.values():
            unsaved.add(camera_id)

    def restamp(self, now: datetime) -> None:
        """The clock was set back: a word stamped later was heard by now, not in the future."""
        for held in list(self._held.values()):
            if held.evidence.verified_at > now:
                raw = self._replies.get(held.evidence.subject.camera_id, "")
                self.adopt(replace(held.evidence, verified_at=now), held.tier, raw=raw)

    async def keep(self) -> bool:
        """Read tiers that have come back, fill tiers that lack something. Whether anything newer was found."""
        back, self._recovered = self._recovered, set()
        before = dict(self._held)
        await asyncio.gather(*(self._consult(tier) for tier in self._tiers if tier.name in back))
        await asyncio.gather(*(self._fill(tier) for tier in self._tiers))
        self._drop_replies()
        return before != self._held

    async def _consult(self, tier: EvidenceTier) -> None:
        try:
            async with asyncio.timeout(_PATIENCE):
                stored = await tier.load_all()
        except (UnavailableError, TimeoutError) as error:
            self._lost(tier, error)
            return
        self._connectivity.succeeded(tier.name)
        self._retry_at.pop(tier.name, None)
        found = {evidence.subject.camera_id: evidence for sealed in stored for evidence in self._verified(sealed, tier)}
        for evidence in found.values():
            self._weigh(evidence, tier)
        self._unsaved[tier.name] = {
            camera_id for camera_id, held in self._held.items() if held.evidence != found.get(camera_id)
        }

    def _verified(self, sealed: str, tier: EvidenceTier) -> Iterator[Evidence]:
        """The evidence, if it is genuine and ours. Classic durations are the settings of today."""
        try:
            evidence = self._sealer.unseal(sealed)
        except IntegrityError as error:
            self._note_damage(error, tier)
            return
        subject = evidence.subject
        if (subject.device_id, subject.tenant_id) == (self._tenant.device_id, self._tenant.tenant_id):
            yield evidence if evidence.signed else replace(evidence, durations=self._durations)

    def _note_damage(self, error: IntegrityError, tier: EvidenceTier) -> None:
        self.damaged = True
        log.error("evidence.invalid", tier=tier.name, error=str(error), fix=error.fix)

    def _weigh(self, stored: Evidence, tier: EvidenceTier) -> None:
        """Take stored evidence if it is the newest. A stamp in the future came from a wrong clock: the last resort."""
        held = self._held.get(stored.subject.camera_id)
        if held is None:
            self._clock.witness(stored.verified_at)
        now = self._clock.now()
        if stored.verified_at > now and held is None:
            stored = replace(stored, verified_at=now)
        if held is None or (stored.verified_at <= now and newer(stored, held.evidence)):
            self.adopt(stored, tier.name)

    async def _fill(self, tier: EvidenceTier) -> None:
        unsaved = self._unsaved[tier.name]
        if not unsaved or self._machine.boottime() < self._retry_at.get(tier.name, timedelta(0)):
            return
        at_once = _AT_ONCE if isinstance(tier, BulkTier) else _SIDE_BY_SIDE
        try:
            while unsaved:
                await self._save(tier, [unsaved.pop() for _ in range(min(at_once, len(unsaved)))])
        except UnavailableError as error:
            self._lost(tier, error)
        else:
            self._connectivity.succeeded(tier.name)

    async def _save(self, tier: EvidenceTier, batch: Sequence[CameraId]) -> None:
        """Save these; what a tier refuses among them must not keep it from the others."""
        left = set(batch)
        try:
            await _hand_over(tier, [self._sealed(camera_id) for camera_id in batch])
            left.clear()
        except UnavailableError:
            raise
        except TapiError as error:
            if len(batch) > 1:
                for camera_id in batch:
                    await self._save(tier, [camera_id])
            else:
                log.exception("evidence.not_kept", tier=tier.name, camera_id=batch[0], error=str(error))
            left.clear()
        finally:
            self._unsaved[tier.name] |= left  # down, or cancelled half way

    def _sealed(self, camera_id: CameraId) -> SealedEvidence:
        evidence = self._held[camera_id].evidence
        sealed = self._sealer.seal(evidence)
        return SealedEvidence(evidence=evidence, sealed=sealed, raw=self._replies.get(camera_id, ""))

    def _drop_replies(self) -> None:
        """Replies are passed on, not held: the memory of a thousand cameras is spoken for."""
        for camera_id in self._replies.keys() - set().union(*self._unsaved.values()):
            del self._replies[camera_id]

    def _lost(self, tier: EvidenceTier, error: UnavailableError | TimeoutError) -> None:
        self._retry_at[tier.name] = self._machine.boottime() + _RETRY
        why = error if isinstance(error, UnavailableError) else UnavailableError(f"{tier.name}: no answer within 1 s")
        self._connectivity.failed(tier.name, why)


async def _hand_over(tier: EvidenceTier, words: Sequence[SealedEvidence]) -> None:
    if isinstance(tier, BulkTier):
        await tier.save_many(words)
    else:
        await asyncio.gather(*(tier.save(word.evidence, word.sealed) for word in words))
