"""Evidence in memory and in the tiers: what is kept is evidence, never a verdict, and each load verifies it.

Owns which evidence is held and which tier still lacks it. A tier that is down is a miss and a connectivity note; when
it comes back it is read again, and only then filled from memory. Lease files are too long to stay there: once the local
file has them, other tiers get them from it.
"""

from __future__ import annotations

import asyncio
import sys
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Final

from tapi_agent.domain.evidence import newer, restamped
from tapi_agent.domain.ids import TENANT
from tapi_agent.domain.license import Reason
from tapi_agent.ports.licenses import SealedEvidence
from tapi_agent.services.licensing.shelf import Shelf
from tapi_agent.services.licensing.verification import Verifier

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import datetime

    from tapi_agent.domain.ids import CameraId
    from tapi_agent.domain.license import Evidence
    from tapi_agent.ports.licenses import EvidenceSealer, EvidenceTier
    from tapi_agent.services.licensing.values import Surroundings
    from tapi_agent.services.licensing.verification import Word

_MOST_REPLIES: Final = 1000


@dataclass(frozen=True, slots=True)
class Held:
    """Evidence in force and the tier it came from.

    ``word`` is the evidence as the tiers keep it: a lease's own, where the clock has been set back since.
    """

    evidence: Evidence
    tier: str
    word: Evidence
    drifted: tuple[str, ...] = ()


class EvidenceStore:
    """All evidence of this device and tenant. ``tiers``: the local file first, read before the others."""

    def __init__(self, around: Surroundings, *, tiers: Sequence[EvidenceTier], sealer: EvidenceSealer) -> None:
        self._clock = around.clock
        self._connectivity = around.connectivity
        self._verifier = Verifier(around, sealer)
        self._shelves = [Shelf(around, tier=tier, verifier=self._verifier) for tier in tiers]
        self._local = self._shelves[0]
        self._held: dict[CameraId, Held] = {}
        self._missing: dict[CameraId, Reason] = {}
        self._recovered: set[str] = set()
        self._copied = False
        self._leases: dict[CameraId, str] = {}
        self._replies: dict[CameraId, str] = {}
        self._turn = asyncio.Lock()

    async def start(self) -> None:
        """Load the newest evidence of every tier that answers within a second; the local file comes first."""
        await self._consult(self._local)
        await asyncio.gather(*(self._consult(shelf) for shelf in self._shelves[1:]))
        self._let_go()
        for shelf in self._shelves:
            self._connectivity.on_recovery(shelf.name, partial(self._recovered.add, shelf.name))

    def get(self, camera_id: CameraId) -> Held | None:
        """The evidence of a camera's own; ``TENANT`` for the tenant's."""
        return self._held.get(camera_id)

    def cameras(self) -> Iterator[tuple[CameraId, Evidence]]:
        """Cameras with evidence of their own."""
        return ((camera_id, held.evidence) for camera_id, held in self._held.items() if camera_id != TENANT)

    def sequence(self, camera_id: CameraId) -> int:
        """That of its own lease; 0 without one: the numbers of classic words say nothing about leases."""
        held = self._held.get(camera_id)
        return held.word.sequence if held and held.word.signed else 0

    def missing(self, camera_id: CameraId) -> Reason:
        """Why there is no evidence: what was stored of this camera, or of the tenant, is worth nothing here.

        Or all that there is is a file copied from another device. Other tiers are shared, so they never say that.
        """
        known = self._missing.get(camera_id) or self._missing.get(TENANT)
        copied = self._copied and not self._held
        return known or (Reason.MACHINE_MISMATCH if copied else Reason.NO_LICENSE)

    def drifted(self) -> Sequence[str]:
        """Marks of this machine that have changed since a lease in force was issued."""
        return sorted({name for held in self._held.values() for name in held.drifted})

    def adopt(
        self, evidence: Evidence, tier: str, *, raw: str = "", lease: str = "", drifted: tuple[str, ...] = ()
    ) -> None:
        """Hold this from now on and let every tier know, soon.

        ``raw`` is the reply that classic evidence was made of. Signed evidence comes with ``lease``, the text of its
        file, which is what the tiers keep of it; ``drifted`` as in ``Examined``.
        """
        camera_id = evidence.subject.camera_id
        # Every copy of a name from the wire is another string: a thousand cameras with the same packs add up.
        word = replace(evidence, packs=tuple(map(sys.intern, evidence.packs)))
        in_force = restamped(word, self._clock.now()) if lease else word
        self._held[camera_id] = Held(in_force, tier, word, drifted)
        self._missing.pop(camera_id, None)
        self._leases.pop(camera_id, None)
        self._replies.pop(camera_id, None)
        if lease:
            self._leases[camera_id] = lease
        elif raw and len(self._replies) < _MOST_REPLIES:  # a tier may be down for long
            self._replies[camera_id] = raw
        for shelf in self._shelves:
            shelf.lacking.add(camera_id)

    def restamp(self, now: datetime) -> None:
        """The clock was set back: a word stamped later was heard by now, not in the future."""
        for camera_id, held in list(self._held.items()):
            anew = restamped(held.evidence, now)
            if anew is held.evidence:
                continue
            if anew.signed:  # what is stored is the lease, which says what it says
                self._held[camera_id] = replace(held, evidence=anew)
            else:
                self.adopt(anew, held.tier, raw=self._replies.get(camera_id, ""))

    async def keep(self) -> bool:
        """Read tiers that have come back, fill tiers that lack something. Whether anything newer was found."""
        async with self._turn:
            back, self._recovered = self._recovered, set()
            before = dict(self._held)
            unread = [shelf for shelf in self._shelves if shelf.name in back or shelf.may_be_read()]
            await asyncio.gather(*(self._consult(shelf) for shelf in unread))
            await asyncio.gather(*(self._fill(shelf) for shelf in self._shelves if shelf.wants()))
            self._let_go()
            return before != self._held

    async def catch_up(self) -> bool:
        """Read the local file, if that failed before. Whether anything newer was found."""
        async with self._turn:
            before = dict(self._held)
            if self._local.unread:
                await self._consult(self._local)
            return before != self._held

    async def save(self, words: Sequence[Word]) -> None:
        """Put these leases into the local file, all or none, before they are adopted. Raises ``UnavailableError``."""
        async with self._turn:  # what is being kept just now must not be written over these
            await self._local.put([SealedEvidence(evidence=word.evidence, sealed=word.lease) for word in words])

    async def _consult(self, shelf: Shelf) -> None:
        found = await shelf.read()
        if found is None:
            return
        if shelf is self._local:
            self._copied = found.is_copied()
        for word in found.words.values():
            self._weigh(word, shelf.name)
        for camera_id, reason in found.reasons().items():
            if camera_id not in self._held:
                self._missing.setdefault(camera_id, reason)
        stored = {camera_id: word.evidence for camera_id, word in found.words.items()}
        shelf.lacking = {camera_id for camera_id, held in self._held.items() if held.word != stored.get(camera_id)}

    def _weigh(self, word: Word, tier: str) -> None:
        """Take a stored word if it is the newest; a lease's order is its authority's, not its stamp's."""
        stored = word.evidence
        held = self._held.get(stored.subject.camera_id)
        if held is None:
            self._clock.witness(stored.verified_at)
        if not stored.signed:
            self._weigh_classic(stored, held, tier)
        elif held is None or newer(stored, held.word):
            self.adopt(stored, tier, lease=word.lease, drifted=word.drifted)

    def _weigh_classic(self, stored: Evidence, held: Held | None, tier: str) -> None:
        """A stamp in the future came from a wrong clock: the last resort."""
        now = self._clock.now()
        if held is None:
            self.adopt(restamped(stored, now), tier)
        elif stored.verified_at <= now and newer(stored, held.word):
            self.adopt(stored, tier)

    async def _fill(self, shelf: Shelf) -> None:
        leases = await self._leases_for(shelf)
        if leases is not None:
            await shelf.fill(partial(self._sealed, leases))

    async def _leases_for(self, shelf: Shelf) -> Mapping[CameraId, str] | None:
        """The texts of leases that a tier lacks: those at hand, and others as the local file has them.

        ``None`` while that cannot be read.
        """
        lent = {c for c in shelf.lacking if self._held[c].word.signed} - self._leases.keys()
        if not lent:
            return self._leases
        found = await self._local.read()
        if found is None:
            return None
        words = ((camera_id, found.words.get(camera_id)) for camera_id in lent)
        return self._leases | {c: word.lease for c, word in words if word and word.evidence == self._held[c].word}

    def _sealed(self, leases: Mapping[CameraId, str], camera_id: CameraId) -> SealedEvidence | None:
        word = self._held[camera_id].word
        sealed = leases.get(camera_id) if word.signed else self._verifier.seal(word)
        return SealedEvidence(evidence=word, sealed=sealed, raw=self._replies.get(camera_id, "")) if sealed else None

    def _let_go(self) -> None:
        """Texts are passed on, not held: the memory of a thousand cameras is spoken for."""
        for camera_id in self._leases.keys() - self._local.lacking:
            del self._leases[camera_id]
        for camera_id in self._replies.keys() - set().union(*(shelf.lacking for shelf in self._shelves)):
            del self._replies[camera_id]
