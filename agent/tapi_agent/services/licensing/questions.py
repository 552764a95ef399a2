"""Why a camera stands as it does, how it would stand, how it has stood. Asks no network and changes nothing.

Every state comes from ``domain.evaluation``. Called by the API.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from tapi_agent.domain.errors import InvalidInputError, RejectedError
from tapi_agent.domain.evaluation import deadlines_of
from tapi_agent.domain.ids import TENANT
from tapi_agent.domain.license import Flag
from tapi_agent.domain.remedies import REMEDIES
from tapi_agent.domain.timeline import Span, timeline
from tapi_agent.domain.wording import sentence
from tapi_agent.services.licensing.reasons import BYPASS, Explanation, fired_rule

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from tapi_agent.domain.events import LicenseChanged
    from tapi_agent.domain.ids import CameraId
    from tapi_agent.ports.licenses import LicenseLog
    from tapi_agent.services.licensing.contacts import Contacts
    from tapi_agent.services.licensing.values import Surroundings
    from tapi_agent.services.licensing.verdicts import Verdicts

FARTHEST: Final = timedelta(days=3650)
_IN_ONE_GO: Final = 100
"""Timelines made before others get their turn on the loop."""


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
        evidence, missing = self._verdicts.ground(camera_id), self._verdicts.missing(camera_id)
        place, allowed = self._verdicts.place(camera_id)
        bypassed, reason = Flag.BYPASSED in view.standing.flags, view.standing.reason
        told = sentence(reason, who=camera_id, now=now, evidence=evidence, place=place, allowed=allowed)
        return Explanation(
            view=view,
            now=now,
            rule=BYPASS if bypassed else fired_rule(evidence, now=now, contact=contact, missing=missing),
            missing=None if evidence else missing,
            deadlines=deadlines_of(evidence) if evidence else None,
            contact=contact,
            registered=self._verdicts.knows(camera_id),
            place=place,
            allowed=allowed,
            meaning=f"{camera_id or 'the tenant'} works: {BYPASS.holds}" if bypassed else told,
            remedy=REMEDIES[reason],
        )

    async def simulate(
        self, camera_id: CameraId | None, *, offline: timedelta | None = None, at: datetime | None = None
    ) -> Simulation:
        """What comes if the link were lost from now on: for one camera or all. Raises ``InvalidInputError``.

        For as long as ``offline``, or until ``at``: exactly one of them. Raises ``RejectedError`` ``camera_unknown``.
        """
        if camera_id and not self._verdicts.knows(camera_id):
            fix = "tapi-agent license show names those there are"
            raise RejectedError(f"no camera {camera_id!a} is registered here", code="camera_unknown", fix=fix)
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
    name, span = ("at", at - start) if at is not None else ("offline_s", offline or timedelta(0))
    if span < timedelta(0):
        raise _refusal(name, f"that is past: it is {start:%Y-%m-%d %H:%M:%S} UTC", "see tapi-agent license history")
    if span > FARTHEST:
        raise _refusal(name, "that is more than ten years ahead", "ask for ten years at most")
    return start + span


def _refusal(name: str, what: str, fix: str) -> InvalidInputError:
    return InvalidInputError(what, code="not_simulated", pointer=f"#/{name}", fix=fix)
