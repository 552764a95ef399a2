"""A billing service in memory, its client included: for tests of ours and of plugin authors.

``FakeBilling`` answers as ``HttpBilling`` does in front of the sandbox: one contract suite runs against both. Switches
make it fail; what it was asked and what it billed can be read from it.
"""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass, replace
from datetime import timedelta
from itertools import count
from typing import TYPE_CHECKING, Final

from tapi_agent.domain.delivery import TransportFailure, UsageReply
from tapi_agent.domain.errors import IntegrityError, RejectedError, TapiError, UnavailableError
from tapi_agent.domain.ids import TENANT
from tapi_agent.domain.license import LicenseMode, LicenseStatus
from tapi_agent.ports.billing import (
    BatchRecord,
    BilledTotal,
    FeatureReply,
    HeartbeatReply,
    LicenseReply,
    LicenseReport,
    Question,
)
from tapi_agent.testing.clock import START
from tapi_agent.testing.ledger import FakeLedger

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from collections.abc import Set as AbstractSet
    from datetime import datetime
    from decimal import Decimal
    from uuid import UUID

    from tapi_agent.domain.delivery import WireBatch
    from tapi_agent.domain.ids import CameraId, TenantId
    from tapi_agent.domain.license import Subject
    from tapi_agent.testing.ledger import Event

GOOD: Final = LicenseReply(
    is_valid=True,
    mode=LicenseMode.BASE,
    packs=(),
    valid_until=None,
    cameras_allowed=None,
    status=LicenseStatus.ACTIVE,
    sequence=1,
)
"""What a camera gets that no test has said anything about."""
PLAIN: Final = Question(sequence=0, wall=START, trusted=START, components={})
"""The question of a box that trusts no key."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Beat:
    """One heartbeat as it was received."""

    tenant_id: TenantId
    cameras: tuple[CameraId, ...]
    tier: str


class FakeBilling:
    """Implements ``ports.billing.BillingService``. A new one is reachable, dedupes, and finds every camera licensed.

    It offers no license report and signs no lease unless told to. ``timeout`` is how long a call waits for a ``slow``
    service.
    """

    def __init__(self, *, timeout: timedelta = timedelta(seconds=5)) -> None:
        self.asked: list[Subject] = []
        self.questions: list[Question] = []
        """What came with each of ``asked``."""
        self.reports = 0
        """How often the license report was asked for."""
        self.features_asked: list[str] = []
        self.beats: list[Beat] = []
        self.sent: list[WireBatch] = []
        self.next_heartbeat: timedelta | None = timedelta(minutes=15)
        self._timeout = timeout.total_seconds()
        self._failure: TransportFailure | None = None
        self._prompt = asyncio.Event()
        self._prompt.set()
        self._sequence = count(2)
        self._answers: dict[CameraId, deque[LicenseReply | TapiError]] = {}
        self._features: dict[str, FeatureReply | TapiError] = {}
        self._report: deque[TapiError] | None = None
        self._sign: Callable[[Subject, Question], str] | None = None
        self._usage_replies: deque[UsageReply] = deque()
        self._lose_reply = False
        self._dedupes = True
        self._ledger = FakeLedger()

    @property
    def billed(self) -> Sequence[Event]:
        """Every event each time it was billed: one that stands here twice was billed twice."""
        return self._ledger.billed

    # --- switches ---

    def offline(self, failure: TransportFailure = TransportFailure.REFUSED) -> None:
        """Let nothing through; no request is ever written."""
        self._failure = failure

    def slow(self) -> None:
        """Do what is asked, but reply only after ``online``; a call that waits longer than its timeout fails."""
        self._prompt.clear()

    def online(self) -> None:
        """End ``offline`` and ``slow``."""
        self._failure = None
        self._prompt.set()

    def classic(self) -> None:
        """Be the service of today: no extension in replies, and what is sent twice is billed twice."""
        self._dedupes = False

    def lose_next_reply(self) -> None:
        """Store the next batch, then lose the reply to it. The other calls would ask again, so they do not notice."""
        self._lose_reply = True

    def answer(self, camera_id: CameraId, *answers: LicenseReply | TapiError) -> None:
        """What to say about a camera, in turn; the last answer stays. An error is raised."""
        self._answers[camera_id] = deque(answers)

    def deny(self, camera_id: CameraId, status: LicenseStatus = LicenseStatus.REVOKED) -> None:
        """Say a definite no about a camera, newer than all that was said before."""
        self.answer(camera_id, replace(GOOD, is_valid=False, status=status, sequence=next(self._sequence)))

    def allow(self, camera_id: CameraId) -> None:
        """Say yes to a camera, newer than all that was said before."""
        self.answer(camera_id, replace(GOOD, sequence=next(self._sequence)))

    def answer_feature(self, feature: str, answer: FeatureReply | TapiError) -> None:
        """What to say about a feature; the service has not heard of the others. An error is raised."""
        self._features[feature] = answer

    def offer_report(self, *failures: TapiError) -> None:
        """Offer the license report, on all cameras ever asked about; the first calls meet with these failures."""
        self._report = deque(failures)

    def offer_no_report(self) -> None:
        """Answer no call for the report, as a new one does."""
        self._report = None

    def sign(self, sign: Callable[[Subject, Question], str]) -> None:
        """Answer questions with a nonce by the lease that ``sign`` makes."""
        self._sign = sign

    def reply_to_usage(self, *replies: UsageReply) -> None:
        """Meet the next batches with these replies; nothing of them is stored."""
        self._usage_replies.extend(replies)

    # --- ports.billing.BillingService ---

    async def health(self) -> None:
        """Return while reachable."""
        await self._reach()

    async def validate(self, subject: Subject, question: Question) -> LicenseReply:
        """Say what ``answer``, ``deny`` or ``allow`` have set, else ``GOOD``."""
        self.asked.append(subject)
        self.questions.append(question)
        await self._reach()
        answer = self._next(subject.camera_id)
        if isinstance(answer, TapiError):
            raise answer
        if self._sign is None or question.nonce is None:
            return answer
        return replace(answer, lease=self._sign(subject, question))

    async def license_report(self, tenant_id: TenantId) -> LicenseReport | None:  # noqa: ARG002 - the fake has one
        """The word on all cameras that were asked about; one whose answer is an ``IntegrityError`` is malformed."""
        self.reports += 1
        await self._reach()
        if self._report is None:
            return None
        if self._report:
            raise self._report.popleft()
        said = {camera_id: self._next(camera_id) for camera_id in self._cameras()}
        tenant = self._next(TENANT)
        return LicenseReport(
            tenant=tenant if isinstance(tenant, LicenseReply) else GOOD,
            cameras={
                camera_id: replace(word, sequence=None, server_time=None)
                for camera_id, word in said.items()
                if isinstance(word, LicenseReply)
            },
            malformed={camera_id: word for camera_id, word in said.items() if isinstance(word, IntegrityError)},
        )

    async def feature(self, tenant_id: TenantId, feature: str) -> FeatureReply:  # noqa: ARG002 - the fake has one
        """Say what ``answer_feature`` has set; any other feature is one that no product knows."""
        self.features_asked.append(feature)
        await self._reach()
        answer = self._features.get(feature) or RejectedError(f"no product has {feature}", code="not_found")
        if isinstance(answer, TapiError):
            raise answer
        return answer

    async def heartbeat(self, *, tenant_id: TenantId, cameras: Sequence[CameraId], tier: str) -> HeartbeatReply:
        """Note the beat and wish for the next after ``next_heartbeat``."""
        await self._reach()
        self.beats.append(Beat(tenant_id=tenant_id, cameras=tuple(cameras), tier=tier))
        return HeartbeatReply(next_heartbeat=self.next_heartbeat)

    async def send_usage(self, batch: WireBatch) -> UsageReply:
        """Bill the batch as the sandbox does, unless a switch says otherwise."""
        if self._failure is not None:
            return UsageReply(failure=self._failure, written=False)
        self.sent.append(batch)
        reply = (
            self._usage_replies.popleft() if self._usage_replies else self._ledger.bill(batch, dedupes=self._dedupes)
        )
        lost, self._lose_reply = self._lose_reply, False
        if lost:
            return UsageReply(failure=TransportFailure.RESET, written=True)
        return reply if await self._is_prompt() else UsageReply(failure=TransportFailure.TIMEOUT, written=True)

    async def find_batch(self, batch_id: UUID) -> BatchRecord | None:
        """What became of a batch; a classic service remembers none."""
        await self._reach()
        return self._ledger.find(batch_id)

    async def usage_sums(self, tenant_id: TenantId, *, start: datetime, end: datetime) -> Mapping[str, Decimal]:
        """Sums of what was billed, the counts cut to integers."""
        await self._reach()
        return self._ledger.sums(tenant_id, start=start, end=end)

    async def usage_totals(self, *, start: datetime, end: datetime) -> Sequence[BilledTotal] | None:
        """Sums of what was billed, by tenant, meter and day; a classic service has no such call."""
        await self._reach()
        return self._ledger.totals(start=start, end=end) if self._dedupes else None

    async def look_up(self, event_ids: Sequence[UUID]) -> AbstractSet[UUID]:
        """Which of the events were billed."""
        await self._reach()
        if not self._dedupes:
            raise RejectedError("the fake billing service is classic", code="not_found")
        return self._ledger.known(event_ids)

    # --- how it works ---

    async def _reach(self) -> None:
        if self._failure is not None:
            raise UnavailableError(f"the fake billing service is offline: {self._failure}", fix="call online()")
        if not await self._is_prompt():
            raise UnavailableError("the fake billing service is slow: no reply in time", fix="call online()")

    def _cameras(self) -> set[CameraId]:
        return {subject.camera_id for subject in self.asked} - {TENANT}

    def _next(self, camera_id: CameraId) -> LicenseReply | TapiError:
        answers = self._answers.get(camera_id) or deque([GOOD])
        answer = answers.popleft() if len(answers) > 1 else answers[0]
        if isinstance(answer, TapiError) or self._dedupes:
            return answer
        return replace(answer, status=None, sequence=None, server_time=None)

    async def _is_prompt(self) -> bool:
        try:
            async with asyncio.timeout(self._timeout):
                await self._prompt.wait()
        except TimeoutError:
            return False
        return True
