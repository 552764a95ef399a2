"""One tier as the evidence store uses it: what it still lacks, whether it may be tried again.

A tier that is down is a connectivity note. What it lacked stays noted and is handed over when it comes back.
"""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING, Final

import structlog

from tapi_agent.domain.errors import IntegrityError, TapiError, UnavailableError
from tapi_agent.domain.ids import TENANT
from tapi_agent.ports.licenses import BulkTier
from tapi_agent.services.licensing.verification import Verified

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tapi_agent.domain.ids import CameraId
    from tapi_agent.ports.licenses import EvidenceTier, SealedEvidence
    from tapi_agent.services.licensing.values import Surroundings
    from tapi_agent.services.licensing.verification import Verifier

log = structlog.get_logger(__name__)

_PATIENCE: Final = 1.0
"""Seconds a tier may take to be read."""
_AT_ONCE: Final = 500
"""Words in one go, in a tier that takes many; sealing more of them would hold up the loop."""
_SIDE_BY_SIDE: Final = 16
"""Saves at once in a tier that takes them one by one, which others use too."""
_RETRY: Final = timedelta(seconds=5)


class Shelf:
    """What the store has on one tier; ``lacking`` names the cameras whose newest word is not there yet.

    ``unread``: the last try to read it failed, so it may hold newer words than are known, and must not be filled.
    """

    def __init__(self, around: Surroundings, *, tier: EvidenceTier, verifier: Verifier) -> None:
        self._machine = around.machine
        self._connectivity = around.connectivity
        self._tier = tier
        self._verifier = verifier
        self._retry_at = timedelta(0)
        self.lacking: set[CameraId] = set()
        self.unread = True

    @property
    def name(self) -> str:
        """The tier's."""
        return self._tier.name

    async def read(self) -> Verified | None:
        """All that is there, verified; ``None`` while it is down."""
        try:
            async with asyncio.timeout(_PATIENCE):
                stored = await self._tier.load_all()
        except (UnavailableError, TimeoutError) as error:
            self.unread = True
            self._lost(error)
            return None
        except IntegrityError as error:
            verified = Verified(refused={TENANT: error})
        else:
            verified = await self._verifier.verify(stored)
        self._connectivity.succeeded(self.name)
        self._retry_at = timedelta(0)
        self.unread = False
        self._report(verified)
        return verified

    def may_be_read(self) -> bool:
        """Whether it is to be read and may be tried: nobody else may ever tell that it is back."""
        return self.unread and self._rested()

    def wants(self) -> bool:
        """Whether it lacks anything and may be tried."""
        return bool(self.lacking) and not self.unread and self._rested()

    async def fill(self, sealed: Callable[[CameraId], SealedEvidence | None]) -> None:
        """Hand over what it lacks; ``sealed`` gives each word, or ``None`` when its text is nowhere any more."""
        at_once = _AT_ONCE if isinstance(self._tier, BulkTier) else _SIDE_BY_SIDE
        try:
            while self.lacking:
                batch = [self.lacking.pop() for _ in range(min(at_once, len(self.lacking)))]
                await self._save(batch, sealed)
        except UnavailableError as error:
            self._lost(error)
        else:
            self._connectivity.succeeded(self.name)

    async def put(self, words: Sequence[SealedEvidence]) -> None:
        """Hand these over now; raises ``UnavailableError``."""
        await self._hand_over(words)

    async def _save(self, batch: Sequence[CameraId], sealed: Callable[[CameraId], SealedEvidence | None]) -> None:
        """Save these; what a tier refuses among them must not keep it from the others."""
        left = set(batch)
        try:
            await self._hand_over([word for camera_id in batch if (word := sealed(camera_id)) is not None])
            left.clear()
        except UnavailableError:
            raise
        except TapiError as error:
            if len(batch) > 1:
                for camera_id in batch:
                    await self._save([camera_id], sealed)
            else:
                log.exception("evidence.not_kept", tier=self.name, camera_id=batch[0], error=str(error))
            left.clear()
        finally:
            self.lacking |= left  # down, or cancelled half way

    async def _hand_over(self, words: Sequence[SealedEvidence]) -> None:
        if isinstance(self._tier, BulkTier):
            await self._tier.save_many(words)
        else:
            await asyncio.gather(*(self._tier.save(word.evidence, word.sealed) for word in words))

    def _rested(self) -> bool:
        return self._machine.boottime() >= self._retry_at

    def _report(self, verified: Verified) -> None:
        """One line for each reason: a key that is no longer trusted spoils every camera's evidence at once."""
        reasons = verified.reasons()
        for reason in sorted(set(reasons.values())):
            cameras = [camera_id for camera_id, why in reasons.items() if why is reason]
            error = verified.refused[cameras[0]]
            log.error(
                "evidence.invalid",
                tier=self.name,
                reason=str(reason),
                count=len(cameras),
                camera_id=cameras[0],
                error=str(error),
                fix=error.fix,
            )

    def _lost(self, error: UnavailableError | TimeoutError) -> None:
        self._retry_at = self._machine.boottime() + _RETRY
        why = error if isinstance(error, UnavailableError) else UnavailableError(f"{self.name}: no answer within 1 s")
        self._connectivity.failed(self.name, why)
