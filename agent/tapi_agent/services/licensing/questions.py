"""Why a camera stands as it does, how it would stand, how it has stood. Asks no network and changes nothing.

Every state comes from ``domain.evaluation``. Called by the API.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from tapi_agent.domain.errors import InvalidInputError
from tapi_agent.domain.evaluation import deadlines_of, rule_for
from tapi_agent.domain.ids import TENANT
from tapi_agent.domain.license import Flag
from tapi_agent.domain.remedies import MEANINGS, REMEDIES
from tapi_agent.domain.timeline import Span, timeline

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from tapi_agent.domain.evaluation import Deadlines
    from tapi_agent.domain.events import LicenseChanged
    from tapi_agent.domain.ids import CameraId
    from tapi_agent.domain.license import Contact
    from tapi_agent.ports.licenses import LicenseLog
    from tapi_agent.services.licensing.contacts import Contacts
    from tapi_agent.services.licensing.values import LicenseView, Surroundings
    from tapi_agent.services.licensing.verdicts import Verdicts

FARTHEST: Final = timedelta(days=3650)
_ABSENT: Final = "no evidence in any reachable tier or file"
_BYPASSED: Final = "BYPASS_LICENSE_CHECK is set (development)"
_IN_ONE_GO: Final = 100
"""Timelines made before others get their turn on the loop."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """Why a camera stands as it does at trusted time ``now``.

    ``row`` and ``condition`` of the table of the four states, with ``deadlines`` put in; ``row`` ``None`` where the
    check is bypassed. ``place`` among the cameras, by seniority, of which ``allowed`` may work (``None``: any number).
    """

    view: LicenseView
    now: datetime
    row: int | None
    condition: str
    deadlines: Deadlines | None
    contact: Contact
    registered: bool
    place: int | None
    allowed: int | None
    meaning: str
    remedy: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Outlook:
    """The states ahead of ``cameras``, which share them."""

    cameras: Sequence[CameraId]
    spans: Sequence[Span]


@dataclass(frozen=True, slots=True, kw_only=True)
class Simulation:
    """What silence from trusted time ``start`` to ``until`` leads to, the worst outlook first."""

    start: datetime
    until: datetime
    outlooks: Sequence[Outlook]


class Questions:
    """Answers from what is known now."""

    def __init__(self, around: Surroundings, *, verdicts: Verdicts, contacts: Contacts, edge_log: LicenseLog) -> None:
        self._clock = around.clock
        self._verdicts = verdicts
        self._contacts = contacts
        self._log = edge_log

    def explain(self, camera_id: CameraId | None) -> Explanation:
        """Why a camera stands as it does, or with ``TENANT`` the tenant itself, or the device: its worst camera."""
        if camera_id is None:
            camera_id = self._verdicts.worst()
        now = self._clock.now()
        view, contact = self._verdicts.view(camera_id), self._contacts.of(camera_id, now)
        evidence = self._verdicts.ground(camera_id)
        rule = rule_for(evidence, now=now, contact=contact) if evidence else None
        bypassed = Flag.BYPASSED in view.standing.flags
        place, allowed = self._verdicts.place(camera_id)
        return Explanation(
            view=view,
            now=now,
            row=None if bypassed else rule.row if rule else 1,
            condition=_BYPASSED if bypassed else rule.when if rule else _ABSENT,
            deadlines=deadlines_of(evidence) if evidence else None,
            contact=contact,
            registered=self._verdicts.knows(camera_id),
            place=place,
            allowed=allowed,
            meaning=MEANINGS[view.standing.reason],
            remedy=REMEDIES[view.standing.reason],
        )

    async def simulate(
        self, camera_id: CameraId | None, *, offline: timedelta | None = None, at: datetime | None = None
    ) -> Simulation:
        """What comes if the link were lost from now on: for one camera or all. Raises ``InvalidInputError``.

        For as long as ``offline``, or until ``at``: exactly one of them.
        """
        start = self._clock.now()
        until = _end(start, offline, at)
        cameras = [camera_id] if camera_id is not None else self._verdicts.cameras() or [TENANT]
        shared: dict[tuple[Span, ...], list[CameraId]] = {}
        for number, camera in enumerate(cameras, start=1):
            shared.setdefault(self._spans(camera, start, until), []).append(camera)
            if number % _IN_ONE_GO == 0:
                await asyncio.sleep(0)
        outlooks = [Outlook(cameras=tuple(names), spans=spans) for spans, names in shared.items()]
        outlooks.sort(key=lambda outlook: (-outlook.spans[-1].state.severity, outlook.spans[-1].at))
        return Simulation(start=start, until=until, outlooks=outlooks)

    async def history(self, camera_id: CameraId | None, *, limit: int) -> Sequence[LicenseChanged]:
        """The newest edges of a camera, or of all of this device, newest first. Raises ``UnavailableError``."""
        return await self._log.history(camera_id, limit=limit)

    def _spans(self, camera_id: CameraId, start: datetime, until: datetime) -> tuple[Span, ...]:
        standing = self._verdicts.view(camera_id).standing
        evidence = self._verdicts.ground(camera_id)
        if evidence is None or Flag.BYPASSED in standing.flags:
            return (Span(at=start, state=standing.state, reason=standing.reason, row=1 if evidence is None else 9),)
        lost = replace(self._contacts.of(camera_id, start), lost=True)
        return tuple(timeline(evidence, start=start, until=until, contact=lost))


def _end(start: datetime, offline: timedelta | None, at: datetime | None) -> datetime:
    if (offline is None) == (at is None):
        raise _refusal("offline_s", "say either for how long or until when", "give offline_s or at, not both")
    if at is not None and at.tzinfo is None:
        raise _refusal("at", "the date has no time zone", "write it as 2027-03-01T12:00:00Z")
    span = offline if offline is not None else at - start if at is not None else FARTHEST
    if span < timedelta(0):
        raise _refusal("at", f"that is past: it is {start:%Y-%m-%d %H:%M:%S} UTC", "see tapi-agent license history")
    if span > FARTHEST:
        raise _refusal("offline_s", "that is more than ten years ahead", "ask for ten years at most")
    return start + span


def _refusal(name: str, what: str, fix: str) -> InvalidInputError:
    return InvalidInputError(what, code="not_simulated", pointer=f"#/{name}", fix=fix)
