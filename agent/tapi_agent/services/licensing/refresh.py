"""Asks the billing service, camera by camera, and judges what it says. The retries of one request are the adapter's.

Owns single flight and rounds. A service that does not answer stops the round: a hung one costs one timeout, not one a
camera.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import structlog

from tapi_agent import telemetry
from tapi_agent.domain.errors import IntegrityError, RejectedError, UnavailableError
from tapi_agent.domain.evidence import is_news, is_stale, judge
from tapi_agent.services.connectivity import BILLING
from tapi_agent.services.licensing.values import Answer, RefreshRound

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from datetime import timedelta

    from tapi_agent.domain.ids import CameraId
    from tapi_agent.domain.license import Evidence
    from tapi_agent.ports.billing import LicenseReply
    from tapi_agent.services.licensing.contacts import Contacts
    from tapi_agent.services.licensing.schedule import Schedule
    from tapi_agent.services.licensing.store import EvidenceStore
    from tapi_agent.services.licensing.values import Surroundings
    from tapi_agent.services.licensing.verdicts import Verdicts

log = structlog.get_logger(__name__)


class Refresher:
    """The only one who asks for licenses; ``heard`` is called after every answer or the lack of one."""

    def __init__(
        self,
        around: Surroundings,
        *,
        store: EvidenceStore,
        contacts: Contacts,
        schedule: Schedule,
        verdicts: Verdicts,
        heard: Callable[[Iterable[CameraId] | None], object],
    ) -> None:
        self._tenant = around.tenant
        self._billing = around.billing
        self._clock = around.clock
        self._machine = around.machine
        self._policy = around.policy
        self._connectivity = around.connectivity
        self._store = store
        self._contacts = contacts
        self._schedule = schedule
        self._verdicts = verdicts
        self._heard = heard
        self._flights: dict[CameraId, asyncio.Task[Answer]] = {}
        self._doubts: dict[CameraId, timedelta] = {}
        self._listeners: list[Callable[[CameraId], None]] = []

    def on_news(self, callback: Callable[[CameraId], None]) -> None:
        """Call ``callback`` with every camera about which the service says anything else than before."""
        self._listeners.append(callback)

    async def round(self, camera_ids: Sequence[CameraId]) -> RefreshRound:
        """Ask for these cameras, a few at a time, until the service gives no answer."""
        answers: list[Answer] = []
        todo = iter(camera_ids)
        await asyncio.gather(*(self._work(todo, answers) for _ in range(self._policy.parallel)))
        return RefreshRound(
            cameras=len(camera_ids),
            answered=answers.count(Answer.ANSWERED),
            refused=answers.count(Answer.REFUSED),
            unreachable=answers.count(Answer.UNREACHABLE),
        )

    async def ask(self, camera_id: CameraId, *, wait: timedelta) -> None:
        """Ask for one camera and wait so long for the answer; it counts even when it comes later."""
        await asyncio.wait({self._flight(camera_id)}, timeout=wait.total_seconds())

    async def stop(self) -> None:
        """Give up what is still under way."""
        flights = list(self._flights.values())
        for flight in flights:
            flight.cancel()
        await asyncio.gather(*flights, return_exceptions=True)

    async def _work(self, todo: Iterator[CameraId], answers: list[Answer]) -> None:
        for camera_id in todo:
            answers.append(await asyncio.shield(self._flight(camera_id)))
            if Answer.UNREACHABLE in answers:
                return

    def _flight(self, camera_id: CameraId) -> asyncio.Task[Answer]:
        """The request under way for this camera, or a new one."""
        flight = self._flights.get(camera_id)
        if flight is None:
            flight = self._flights[camera_id] = asyncio.create_task(self._fly(camera_id), name=f"license {camera_id}")
            flight.add_done_callback(lambda _: self._flights.pop(camera_id))
        return flight

    async def _fly(self, camera_id: CameraId) -> Answer:
        answer = await self._ask(camera_id)
        telemetry.LICENSE_REFRESHES.labels(outcome=answer).inc()
        return answer

    async def _ask(self, camera_id: CameraId) -> Answer:
        try:
            reply = await self._billing.validate(replace(self._tenant, camera_id=camera_id))
        except UnavailableError as error:
            self._silence(error)
            return Answer.UNREACHABLE
        except (RejectedError, IntegrityError) as error:
            judge_it = partial(self._no_word, camera_id, str(error))
        else:
            judge_it = partial(self._word, camera_id, reply)
        self._service_answers()
        return judge_it() if self._verdicts.knows(camera_id) else Answer.ANSWERED  # else unregistered meanwhile

    def _service_answers(self) -> None:
        self._connectivity.succeeded(BILLING)
        self._schedule.flows()

    def _silence(self, error: UnavailableError) -> None:
        """A transport failure is an attempt for every camera."""
        self._connectivity.failed(BILLING, error)
        self._schedule.stopped(error.retry_after)
        self._contacts.failed(self._verdicts.cameras(), str(error))
        self._heard(None)

    def _no_word(self, camera_id: CameraId, why: str) -> Answer:
        self._contacts.failed([camera_id], why)
        self._schedule.refused(camera_id)
        log.warning("license.no_answer", camera_id=camera_id, why=why)
        self._heard([camera_id])
        return Answer.REFUSED

    def _word(self, camera_id: CameraId, reply: LicenseReply) -> Answer:
        if reply.server_time is not None:
            self._clock.authority_said(reply.server_time)
        held = self._store.get(camera_id)
        if held and is_stale(reply, held.evidence):
            return self._no_word(camera_id, f"the reply is older than what is known (sequence {reply.sequence})")
        subject = replace(self._tenant, camera_id=camera_id)
        evidence = judge(reply, subject=subject, now=self._clock.now(), durations=self._policy.durations)
        self._contacts.answered(camera_id)
        self._accept(evidence, reply.raw, known=held.evidence if held else None)
        self._heard([camera_id])
        return Answer.ANSWERED

    def _accept(self, evidence: Evidence, raw: str, *, known: Evidence | None) -> None:
        """Hold the word, unless it is a denial to be heard twice; an unsigned word never replaces a signed one."""
        camera_id = evidence.subject.camera_id
        if evidence.denied is None:
            self._doubts.pop(camera_id, None)
            self._schedule.answered(camera_id)
        elif self._is_doubtful(camera_id):
            self._schedule.again(camera_id, self._policy.confirm_denial)
            return
        else:
            self._schedule.refused(camera_id)
        if known is None or not known.signed:
            self._store.adopt(evidence, BILLING, raw=raw)
            if known is not None and is_news(evidence, known):
                self._tell(camera_id)

    def _tell(self, camera_id: CameraId) -> None:
        for listener in self._listeners:
            listener(camera_id)

    def _is_doubtful(self, camera_id: CameraId) -> bool:
        """Whether an unsigned no would stop a running camera and has not stood for a minute yet."""
        now = self._machine.boottime()
        if not self._verdicts.is_running(camera_id):
            return False
        if camera_id not in self._doubts:
            log.warning("license.denial_unconfirmed", camera_id=camera_id)
        return now < self._doubts.setdefault(camera_id, now + self._policy.confirm_denial)
