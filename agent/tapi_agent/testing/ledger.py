"""What a billing service in memory has billed: the usage half of ``FakeBilling``, which alone calls it."""

from __future__ import annotations

import json
from datetime import date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Final
from uuid import UUID

from tapi_agent.domain.delivery import UsageReply
from tapi_agent.ports.billing import BatchRecord, BilledTotal

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tapi_agent.domain.delivery import WireBatch
    from tapi_agent.domain.ids import TenantId

Event = dict[str, object]
"""An event of a usage request as it came; numbers are ``int`` or ``Decimal``."""

_COUNTS: Final = {
    "api_calls": "api_call",
    "llm_tokens_used": "llm_tokens",
    "sms_sent": "sms_sent",
    "agent_executions": "agent_execution",
}


class FakeLedger:
    """Every event in ``billed`` each time it was billed, and what became of each batch."""

    def __init__(self) -> None:
        self.billed: list[Event] = []
        self._bodies: dict[UUID, bytes] = {}
        self._results: dict[UUID, dict[UUID, str]] = {}

    def bill(self, batch: WireBatch, *, dedupes: bool) -> UsageReply:
        """Bill as the sandbox does: once, when it dedupes and the batch tells its id."""
        try:
            request = json.loads(batch.body, parse_float=Decimal)
            events: list[Event] = request["events"]
        except (ValueError, KeyError, TypeError) as error:
            return UsageReply(status=400, body=f"not a batch: {error}".encode(), content_type="text/plain")
        if not dedupes or "batch_id" not in request:
            self.billed += events
            return _json(200, {"accepted_count": len(events), "rejected_count": 0, "errors": []})
        return self._bill_once(batch, events)

    def find(self, batch_id: UUID) -> BatchRecord | None:
        """What became of a batch that told its id."""
        results = self._results.get(batch_id)
        return None if results is None else BatchRecord(batch_id=batch_id, results=results)

    def sums(self, tenant_id: TenantId, *, start: datetime, end: datetime) -> Mapping[str, Decimal]:
        """Sums by reply field, bounds inclusive, the counts cut to integers."""
        events = [event for event in self.billed if event["tenant_id"] == tenant_id and start <= _time(event) <= end]
        counts = {name: Decimal(int(_sum(events, event_type))) for name, event_type in _COUNTS.items()}
        return counts | {"storage_gb_days": _sum(events, "storage_gb_days")}

    def totals(self, *, start: datetime, end: datetime) -> list[BilledTotal]:
        """Counts and sums by day, meter and tenant, bounds inclusive."""
        groups: dict[tuple[str, str, str], list[Event]] = {}
        for event in (event for event in self.billed if start <= _time(event) <= end):
            key = (str(event["event_time"])[:10], str(event["event_type"]), str(event["tenant_id"]))
            groups.setdefault(key, []).append(event)
        return [
            BilledTotal(
                tenant_id=tenant_id,
                meter=meter,
                day=date.fromisoformat(day),
                events=len(events),
                quantity=_sum(events, meter),
            )
            for (day, meter, tenant_id), events in sorted(groups.items())
        ]

    def known(self, event_ids: Sequence[UUID]) -> set[UUID]:
        """Which of them were billed."""
        return set(event_ids) & {UUID(str(event["event_id"])) for event in self.billed if "event_id" in event}

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
