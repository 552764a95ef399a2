"""What an answer changes, and the lack of one: evidence, contacts, due times. Asks nobody; called by ``refresh``.

An unsigned no to what is running must stand for a minute before it counts.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import structlog

from tapi_agent.domain.errors import IntegrityError
from tapi_agent.domain.evidence import is_news
from tapi_agent.domain.license import LicenseState
from tapi_agent.services.connectivity import BILLING
from tapi_agent.services.licensing.answers import Answers
from tapi_agent.services.licensing.values import Answer

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import timedelta

    from tapi_agent.domain.errors import UnavailableError
    from tapi_agent.domain.ids import CameraId
    from tapi_agent.domain.license import Evidence
    from tapi_agent.ports.billing import LicenseReply, Question
    from tapi_agent.services.licensing.answers import Heard
    from tapi_agent.services.licensing.contacts import Contacts
    from tapi_agent.services.licensing.schedule import Schedule
    from tapi_agent.services.licensing.store import EvidenceStore
    from tapi_agent.services.licensing.values import Surroundings
    from tapi_agent.services.licensing.verdicts import Verdicts

log = structlog.get_logger(__name__)


class Hearing:
    """Takes in what the service says about the subjects of this device."""

    def __init__(
        self,
        around: Surroundings,
        *,
        store: EvidenceStore,
        contacts: Contacts,
        schedule: Schedule,
        verdicts: Verdicts,
    ) -> None:
        self._tenant = around.tenant
        self._machine = around.machine
        self._confirm = around.policy.confirm_denial
        self._connectivity = around.connectivity
        self._answers = Answers(around)
        self._store = store
        self._contacts = contacts
        self._schedule = schedule
        self._verdicts = verdicts
        self._doubts: dict[CameraId, timedelta] = {}
        self._drifted: tuple[str, ...] = ()
        self._listeners: list[Callable[[CameraId], None]] = []

    def on_news(self, callback: Callable[[CameraId], None]) -> None:
        """Call ``callback`` with every camera about which the service says anything else than before."""
        self._listeners.append(callback)

    def question(self, camera_id: CameraId) -> Question:
        """What to ask about it."""
        return self._answers.question(self._known(camera_id))

    def word(self, camera_id: CameraId, reply: LicenseReply, *, nonce: str | None = None) -> Answer:
        """A reply to the question with this ``nonce``."""
        subject, known = replace(self._tenant, camera_id=camera_id), self._known(camera_id)
        try:
            heard = self._answers.judge(reply, subject=subject, known=known, nonce=nonce)
        except IntegrityError as error:
            return self.no_word(camera_id, error)
        self._contacts.answered(camera_id)
        self._accept(heard, known)
        return Answer.ANSWERED

    def no_word(self, camera_id: CameraId, why: Exception) -> Answer:
        """No answer that counts, for this camera only. The same again is not logged."""
        if str(why) != self._contacts.problem(camera_id):
            log.warning("license.no_answer", camera_id=camera_id, why=str(why), fix=getattr(why, "fix", ""))
        self._contacts.failed([camera_id], str(why))
        self._schedule.refused(camera_id)
        return Answer.REFUSED

    def silence(self, error: UnavailableError) -> Answer:
        """A transport failure: an attempt for all."""
        self._connectivity.failed(BILLING, error)
        self._schedule.stopped(error.retry_after)
        self._contacts.failed(self._schedule.subjects(), str(error))
        return Answer.UNREACHABLE

    def service_answers(self) -> None:
        """Whatever it says."""
        self._connectivity.succeeded(BILLING)
        self._schedule.flows()

    def forget(self, camera_id: CameraId) -> None:
        """This subject is asked about no more."""
        self._schedule.remove(camera_id)
        self._contacts.forget(camera_id)

    def _known(self, camera_id: CameraId) -> Evidence | None:
        held = self._store.get(camera_id)
        return held.word if held else None

    def _accept(self, heard: Heard, known: Evidence | None) -> None:
        """Hold the word, unless it is a denial to be heard twice."""
        evidence = heard.evidence
        camera_id = evidence.subject.camera_id
        if evidence.denied is None:
            self._doubts.pop(camera_id, None)
            self._schedule.answered(camera_id)
        elif not evidence.signed and self._is_doubtful(camera_id):
            self._schedule.again(camera_id, self._confirm)
            return
        else:
            self._schedule.refused(camera_id)
        self._store.adopt(evidence, BILLING, raw=heard.raw, lease=heard.lease, drifted=heard.drifted)
        self._note_drift(heard.drifted)
        if known is not None and is_news(evidence, known):
            self._tell(camera_id)

    def _note_drift(self, drifted: tuple[str, ...]) -> None:
        """The question carried the marks as they are now: the service's next lease knows them."""
        if drifted and drifted != self._drifted:
            log.warning("license.machine_drifted", parts=drifted)
        self._drifted = drifted

    def _tell(self, camera_id: CameraId) -> None:
        for listener in self._listeners:
            listener(camera_id)

    def _is_doubtful(self, camera_id: CameraId) -> bool:
        """Whether an unsigned no would stop what is running and has not stood for a minute yet."""
        now = self._machine.boottime()
        if self._verdicts.view(camera_id).standing.state is LicenseState.EXPIRED:
            return False
        if camera_id not in self._doubts:
            log.warning("license.denial_unconfirmed", camera_id=camera_id)
        return now < self._doubts.setdefault(camera_id, now + self._confirm)
