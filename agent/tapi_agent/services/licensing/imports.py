"""Leases that somebody carried here in a file: examined as those of a live answer, applied all or none.

Works without the billing service, PostgreSQL and Redis; what is imported is on disk before it counts.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import structlog

from tapi_agent.domain.evidence import newer
from tapi_agent.domain.lease import LeaseRefusedError
from tapi_agent.domain.license import Reason
from tapi_agent.services.licensing.verification import Word

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from datetime import datetime

    from tapi_agent.domain.ids import CameraId
    from tapi_agent.domain.lease import Lease
    from tapi_agent.domain.license import Evidence, Standing
    from tapi_agent.services.licensing.leases import Examined
    from tapi_agent.services.licensing.requests import Requests
    from tapi_agent.services.licensing.store import EvidenceStore
    from tapi_agent.services.licensing.values import Surroundings
    from tapi_agent.services.licensing.verdicts import Verdicts

log = structlog.get_logger(__name__)

IMPORTED: Final = "import"
"""The tier that imported evidence comes from, until the next start."""
_IN_ONE_GO: Final = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportedLease:
    """One lease of the file and what it changes.

    ``is_new`` False: the very lease that is held already. ``registered``: its camera is one of this device (the
    tenant's own always counts). ``before`` and ``after`` are the standings of its subject without and with it.
    """

    lease: Lease
    is_new: bool
    registered: bool
    drifted: tuple[str, ...]
    before: Standing
    after: Standing


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportReport:
    """What a file holds and did; ``answered`` whether it answers the open request, which is closed by that."""

    dry_run: bool
    answered: bool
    leases: Sequence[ImportedLease]


class Importer:
    """Imports lease files."""

    def __init__(
        self,
        around: Surroundings,
        *,
        store: EvidenceStore,
        requests: Requests,
        verdicts: Verdicts,
        settle: Callable[[Iterable[CameraId] | None], object],
    ) -> None:
        self._leases = around.leases
        self._clock = around.clock
        self._store = store
        self._requests = requests
        self._verdicts = verdicts
        self._settle = settle
        self._turn = asyncio.Lock()

    async def import_(self, text: str, *, dry_run: bool) -> ImportReport:
        """Apply the leases of a file, all or none; with ``dry_run`` only say what that would do.

        Returns when they are on disk. Raises ``LeaseRefusedError`` for the first that is refused, ``UnavailableError``
        when the local file cannot be written.
        """
        async with self._turn:
            if await self._store.catch_up():  # what the file holds must not be written over unseen
                self._settle(None)
            words = await self._examine(self._leases.split(text))
            report = ImportReport(
                dry_run=dry_run,
                answered=self._requests.open is not None,
                leases=[self._preview(examined) for _, examined in words],
            )
            if not dry_run:
                await self._apply(words)
            return report

    async def _examine(self, texts: Sequence[str]) -> list[tuple[str, Examined]]:
        words: list[tuple[str, Examined]] = []
        newest: dict[CameraId, Evidence] = {}
        for number, text in enumerate(texts, start=1):
            try:
                examined = self._leases.examine(text)
                self._require_answer(examined.lease)
                self._require_order(examined.evidence, newest)
            except LeaseRefusedError as error:
                which = f"lease {number} of {len(texts)}: " if len(texts) > 1 else ""
                raise LeaseRefusedError(f"{which}{error}", reason=error.reason, fix=error.fix) from error
            words.append((text, examined))
            if number % _IN_ONE_GO == 0:
                await asyncio.sleep(0)
        return words

    def _require_answer(self, lease: Lease) -> None:
        awaited = self._requests.open
        if awaited is not None and lease.nonce != awaited.nonce:
            raise LeaseRefusedError(
                f"the lease does not answer the open request of {awaited.made_at:%Y-%m-%d %H:%M} UTC",
                reason=Reason.EVIDENCE_INVALID,
                fix="import the answer to that request, or withdraw it: tapi-agent license request --withdraw",
            )

    def _require_order(self, evidence: Evidence, newest: dict[CameraId, Evidence]) -> None:
        camera_id = evidence.subject.camera_id
        held = self._store.get(camera_id)
        known = newest.get(camera_id) or (held.word if held else None)
        if known is not None and newer(known, evidence):
            raise LeaseRefusedError(
                f"the lease of {_named(camera_id)} is older than what is known: sequence {evidence.sequence} issued "
                f"{evidence.verified_at:%Y-%m-%d %H:%M}, known {known.sequence} of {known.verified_at:%Y-%m-%d %H:%M}",
                reason=Reason.EVIDENCE_INVALID,
                fix="ask for a new one: tapi-agent license request",
            )
        newest[camera_id] = evidence

    def _preview(self, examined: Examined) -> ImportedLease:
        evidence = examined.evidence
        camera_id = evidence.subject.camera_id
        return ImportedLease(
            lease=examined.lease,
            is_new=self._is_new(evidence),
            registered=not camera_id or self._verdicts.knows(camera_id),
            drifted=examined.drifted,
            before=self._verdicts.view(camera_id).standing,
            after=self._verdicts.preview(evidence, at=self._time_after(examined.lease)),
        )

    def _time_after(self, lease: Lease) -> datetime:
        return lease.issued if lease.reset_clock else max(lease.issued, self._clock.now())

    def _is_new(self, evidence: Evidence) -> bool:
        held = self._store.get(evidence.subject.camera_id)
        return held is None or newer(evidence, held.word)

    async def _apply(self, words: Sequence[tuple[str, Examined]]) -> None:
        fresh = [(text, examined) for text, examined in words if self._is_new(examined.evidence)]
        if fresh:
            await self._store.save([Word(evidence=examined.evidence, lease=text) for text, examined in fresh])
            for text, examined in fresh:
                self._clock.issued(examined.lease.issued, reset=examined.lease.reset_clock)
                self._store.adopt(examined.evidence, IMPORTED, lease=text, drifted=examined.drifted)
            await self._settle_in_turns()
        await self._requests.close()
        log.info("license.imported", leases=len(words), new=len(fresh))

    async def _settle_in_turns(self) -> None:
        """A thousand edges at once would hold up the loop: others get their turn in between."""
        self._verdicts.weigh()
        cameras = self._verdicts.cameras()
        try:
            for start in range(0, len(cameras), _IN_ONE_GO):
                await asyncio.sleep(0)
                self._settle([c for c in cameras[start : start + _IN_ONE_GO] if self._verdicts.knows(c)])
        finally:
            self._settle(None)  # also when whoever asked has gone


def _named(camera_id: CameraId) -> str:
    return f"camera {camera_id}" if camera_id else "the tenant"
