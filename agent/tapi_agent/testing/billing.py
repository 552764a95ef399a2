"""A billing service in memory, its client included: for tests of ours and of plugin authors.

``FakeBilling`` answers as ``HttpBilling`` does in front of the sandbox: one contract suite runs against both. Switches
make it fail; what it was asked and what it billed can be read from it.
"""

from __future__ import annotations

import asyncio
import json
from collections import deque
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import count
from typing import TYPE_CHECKING, Final
from uuid import UUID

from tapi_agent.domain.delivery import TransportFailure, UsageReply
from tapi_agent.domain.errors import IntegrityError, TapiError, UnavailableError
from tapi_agent.domain.ids import TENANT
from tapi_agent.domain.license import LicenseMode, LicenseStatus
from tapi_agent.ports.billing import BatchRecord, HeartbeatReply, LicenseReply, LicenseReport, Question
from tapi_agent.testing.clock import START

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from tapi_agent.domain.delivery import WireBatch
    from tapi_agent.domain.ids import CameraId, TenantId
    from tapi_agent.domain.license import Subject

Event = dict[str, object]
"""An event of a usage request as it came; numbers are ``int`` or ``Decimal``."""

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
_COUNTS: Final = {
    "api_calls": "api_call",
    "llm_tokens_used": "llm_tokens",
    "sms_sent": "sms_sent",
    "agent_executions": "agent_execution",
}


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
        self.beats: list[Beat] = []
        self.sent: list[WireBatch] = []
        self.billed: list[Event] = []
        """Every event each time it was billed: one that stands here twice was billed twice."""
        self.next_heartbeat: timedelta | None = timedelta(minutes=15)
        self._timeout = timeout.total_seconds()
        self._failure: TransportFailure | None = None
        self._prompt = asyncio.Event()
        self._prompt.set()
        self._sequence = count(2)
        self._answers: dict[CameraId, deque[LicenseReply | TapiError]] = {}
        self._report: deque[TapiError] | None = None
        self._sign: Callable[[Subject, Question], str] | None = None
        self._usage_replies: deque[UsageReply] = deque()
        self._lose_reply = False
        self._dedupes = True
        self._bodies: dict[UUID, bytes] = {}
        self._results: dict[UUID, dict[UUID, str]] = {}

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
        reply = self._usage_replies.popleft() if self._usage_replies else self._bill(batch)
        lost, self._lose_reply = self._lose_reply, False
        if lost:
            return UsageReply(failure=TransportFailure.RESET, written=True)
        return reply if await self._is_prompt() else UsageReply(failure=TransportFailure.TIMEOUT, written=True)

    async def find_batch(self, batch_id: UUID) -> BatchRecord | None:
        """What became of a batch; a classic service remembers none."""
        await self._reach()
        results = self._results.get(batch_id)
        return None if results is None else BatchRecord(batch_id=batch_id, results=results)

    async def usage_sums(self, tenant_id: TenantId, *, start: datetime, end: datetime) -> Mapping[str, Decimal]:
        """Sums of what was billed, the counts cut to integers."""
        await self._reach()
        events = [event for event in self.billed if event["tenant_id"] == tenant_id and start <= _time(event) <= end]
        counts = {name: Decimal(int(_sum(events, event_type))) for name, event_type in _COUNTS.items()}
        return counts | {"storage_gb_days": _sum(events, "storage_gb_days")}

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

    def _bill(self, batch: WireBatch) -> UsageReply:
        try:
            request = json.loads(batch.body, parse_float=Decimal)
            events: list[Event] = request["events"]
        except (ValueError, KeyError, TypeError) as error:
            return UsageReply(status=400, body=f"not a batch: {error}".encode(), content_type="text/plain")
        if not self._dedupes or "batch_id" not in request:
            self.billed += events
            return _json(200, {"accepted_count": len(events), "rejected_count": 0, "errors": []})
        return self._bill_once(batch, events)

    def _bill_once(self, batch: WireBatch, events: Sequence[Event]) -> UsageReply:
        if self._bodies.setdefault(batch.batch_id, batch.body) != batch.body:
            return _json(422, {"error": f"batch {batch.batch_id} was stored with another body", "code": "key_reused"})
        if batch.batch_id not in self._results:
            self._results[batch.batch_id] = {UUID(str(event["event_id"])): self._judge(event) for event in events}
        results = self._results[batch.batch_id]
        return _json(
            200,
            {
                "accepted_count": len(results),
                "rejected_count": 0,
                "errors": [],
                "batch_id": str(batch.batch_id),
                "results": [{"event_id": str(event_id), "status": status} for event_id, status in results.items()],
            },
        )

    def _judge(self, event: Event) -> str:
        if any(event["event_id"] == billed.get("event_id") for billed in self.billed):
            return "duplicate"
        self.billed.append(event)
        return "accepted"


def _json(status: int, document: object) -> UsageReply:
    return UsageReply(status=status, body=json.dumps(document).encode(), content_type="application/json")


def _time(event: Event) -> datetime:
    return datetime.fromisoformat(str(event["event_time"]))


def _sum(events: Sequence[Event], event_type: str) -> Decimal:
    return sum((Decimal(str(event["quantity"])) for event in events if event["event_type"] == event_type), Decimal(0))
