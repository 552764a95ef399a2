"""``HttpBilling``: the calls of 4-billing-contract, with the deadline and the retries of 2-licensing.

Built by bootstrap. It holds no state but its connections and whether the service has refused the extension.
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Final, Literal
from urllib.parse import quote, urlencode

from tapi_agent.adapters.billing import classify, forms, replies, report
from tapi_agent.adapters.billing.endpoint import endpoint, request_headers, tls_context
from tapi_agent.adapters.billing.moments import retry_after, rfc3339
from tapi_agent.adapters.billing.wire import NoReply, Reply, Wire
from tapi_agent.domain.batch import Dialect
from tapi_agent.domain.delivery import UsageReply
from tapi_agent.domain.errors import RejectedError, UnavailableError

if TYPE_CHECKING:
    import ssl
    from collections.abc import Mapping, Sequence
    from collections.abc import Set as AbstractSet
    from datetime import datetime
    from decimal import Decimal
    from uuid import UUID

    from tapi_agent.adapters.billing.forms import Document
    from tapi_agent.domain.delivery import WireBatch
    from tapi_agent.domain.ids import CameraId, DeviceId, TenantId
    from tapi_agent.domain.license import Subject
    from tapi_agent.ports.billing import (
        BatchRecord,
        BilledTotal,
        FeatureReply,
        HeartbeatReply,
        LicenseReply,
        LicenseReport,
        Question,
    )

DialectChoice = Literal["auto", "extended", "classic"]

_FIRST_PAUSE: Final = timedelta(milliseconds=100)
_LONGEST_PAUSE: Final = timedelta(seconds=1)


class HttpBilling:
    """The billing service at ``base_url``, as ``ports.billing.BillingService``.

    ``timeout`` bounds each try as a whole; ``retries`` is how often more it asks, 100, 200, 400 ms … later, when that
    can help. A timeout is not retried, so that a hung service costs a call one timeout. ``dialect``: ``auto`` sends the
    extension until the service refuses it. ``verify`` stands in for the trust in system and public CAs.
    Raises ``ConfigurationError`` for an address or a key that can never work.
    """

    def __init__(  # noqa: PLR0913 - plain values, each named at the one call in bootstrap
        self,
        *,
        base_url: str,
        api_key: str,
        device_id: DeviceId,
        timeout: timedelta,
        retries: int,
        dialect: DialectChoice,
        agent_version: str,
        verify: ssl.SSLContext | None = None,
    ) -> None:
        self._at = endpoint(base_url)
        self._key = api_key.encode()
        self._device_id = device_id
        self._pauses = [min(_FIRST_PAUSE * 2**n, _LONGEST_PAUSE) for n in range(retries)]
        self._dialect = dialect
        self._agent_version = agent_version
        connect = partial(
            Wire,
            headers=request_headers(api_key=api_key, agent_version=agent_version),
            timeout=timeout,
            verify=verify or tls_context(),
            # A site's HTTP_PROXY cannot reach what listens on this box itself (the sandbox, a tunnel).
            trust_env=not self._at.loopback,
        )
        self._wire = connect(reuse=True)
        # A kept connection may be reset just as a batch goes out; then nobody can say whether it was stored.
        self._usage_wire = connect(reuse=False)

    async def close(self) -> None:
        """Close all connections."""
        await self._wire.close()
        await self._usage_wire.close()

    async def health(self) -> None:
        """GET /health of the server root, once; ``UnavailableError`` unless it says ``healthy``."""
        url = f"{self._at.root}/health"
        reply = self._answer(f"GET {url}", await self._wire.exchange("GET", url))
        if not replies.healthy(reply):
            raise UnavailableError(
                f"GET {url}: the service does not say it is healthy", fix="see the log of the service"
            )

    async def validate(self, subject: Subject, question: Question) -> LicenseReply:
        """POST /licenses/validate for one camera."""
        classic = {"camera_id": subject.camera_id, "tenant_id": subject.tenant_id, "device_id": subject.device_id}
        if self._dialect == "classic" and question.nonce is None:
            return await self._validate(classic)
        try:
            return await self._validate(classic | self._extension(subject, question))
        except RejectedError as refused:
            if self._dialect != "auto" or question.nonce is not None or refused.code != "bad_request":
                raise
        reply = await self._validate(classic)
        self._dialect = "classic"  # without the extension it answers: it is the extension that it refuses
        return reply

    async def license_report(self, tenant_id: TenantId) -> LicenseReport | None:
        """GET /billing/license/{tenant}."""
        reply = await self._find(f"/billing/license/{quote(tenant_id, safe='')}")
        return None if reply is None else await report.license_report(reply, cleaned=self._hiding_key)

    async def feature(self, tenant_id: TenantId, feature: str) -> FeatureReply:
        """POST /entitlements/check."""
        category, _, name = feature.partition(".")
        question = {"tenant_id": tenant_id, "feature_category": category, "feature_name": name}
        return replies.feature_reply(await self._ask("/entitlements/check", question))

    async def heartbeat(self, *, tenant_id: TenantId, cameras: Sequence[CameraId], tier: str) -> HeartbeatReply:
        """POST /heartbeat."""
        beat = {
            "device_id": self._device_id,
            "tenant_id": tenant_id,
            "active_camera_ids": list(cameras),
            "management_tier": tier,
        }
        return replies.heartbeat_reply(await self._ask("/heartbeat", beat))

    async def send_usage(self, batch: WireBatch) -> UsageReply:
        """POST /usage/batch once, on a connection of its own; what the wire does is in the reply."""
        key = {"Idempotency-Key": str(batch.batch_id)} if batch.dialect is Dialect.EXTENDED else {}
        outcome = await self._usage_wire.exchange("POST", f"{self._at.base}/usage/batch", body=batch.body, headers=key)
        if isinstance(outcome, NoReply):
            return UsageReply(failure=outcome.failure, written=outcome.written)
        return UsageReply(
            status=outcome.status,
            body=outcome.body if outcome.success else self._without_secrets(outcome).body,
            content_type=outcome.headers.get("content-type", ""),
            retry_after=retry_after(outcome.headers),
        )

    async def find_batch(self, batch_id: UUID) -> BatchRecord | None:
        """GET /usage/batches/{id}."""
        reply = await self._find(f"/usage/batches/{batch_id}")
        return None if reply is None else replies.batch_record(reply, batch_id)

    async def usage_sums(self, tenant_id: TenantId, *, start: datetime, end: datetime) -> Mapping[str, Decimal]:
        """GET /billing/usage/{tenant}, bounds inclusive."""
        window = urlencode({"start": rfc3339(start), "end": rfc3339(end)})
        return replies.usage_sums(await self._ask(f"/billing/usage/{quote(tenant_id, safe='')}?{window}"))

    async def usage_totals(self, *, start: datetime, end: datetime) -> Sequence[BilledTotal] | None:
        """GET /usage/totals, bounds inclusive."""
        reply = await self._find(f"/usage/totals?{urlencode({'start': rfc3339(start), 'end': rfc3339(end)})}")
        return None if reply is None else replies.billed_totals(reply)

    async def look_up(self, event_ids: Sequence[UUID]) -> AbstractSet[UUID]:
        """POST /usage/lookup."""
        return replies.looked_up(await self._ask("/usage/lookup", {"event_ids": [str(one) for one in event_ids]}))

    def _extension(self, subject: Subject, question: Question) -> dict[str, object]:
        said: dict[str, object] = {
            "fingerprint": subject.device_id,
            "agent_version": self._agent_version,
            "sequence": question.sequence,
            "clock": {"wall": rfc3339(question.wall), "trusted": rfc3339(question.trusted)},
        }
        if question.components:
            said["components"] = dict(question.components)
        return said if question.nonce is None else said | {"nonce": question.nonce}

    async def _validate(self, question: Mapping[str, object]) -> LicenseReply:
        reply = await self._ask("/licenses/validate", question)
        return replace(replies.license_reply(reply), raw=forms.raw(self._hiding_key(forms.without_lease(reply))))

    async def _find(self, path: str) -> Document | None:
        """GET something that may not exist."""
        try:
            return await self._ask(path)
        except RejectedError as error:
            if error.code == "not_found":
                return None
            raise

    async def _ask(self, path: str, question: Mapping[str, object] | None = None) -> Document:
        """POST a question, or GET without one, with the retries; the last outcome counts."""
        method, url = "GET" if question is None else "POST", self._at.base + path
        body = b"" if question is None else json.dumps(question).encode()
        for pause in self._pauses:
            outcome = await self._wire.exchange(method, url, body=body)
            if not classify.may_pass(outcome, pause):
                return self._answer(f"{method} {url}", outcome)
            await asyncio.sleep(pause.total_seconds())
        return self._answer(f"{method} {url}", await self._wire.exchange(method, url, body=body))

    def _answer(self, call: str, outcome: Reply | NoReply) -> Document:
        if isinstance(outcome, NoReply):
            raise classify.no_reply(call, outcome)
        if error := classify.refusal(call, self._without_secrets(outcome)):
            raise error
        try:
            return forms.document(outcome.body)
        except ValueError as error:
            raise classify.unreadable(call, self._without_secrets(outcome)) from error

    def _without_secrets(self, reply: Reply) -> Reply:
        """For messages and logs: an error page may echo the request's headers, a broken reply show half a lease."""
        return replace(reply, body=forms.without_armor(self._hiding_key(reply.body)))

    def _hiding_key(self, body: bytes) -> bytes:
        return body.replace(self._key, b"***") if self._key else body
