"""The replies of 4-billing-contract as the values of ``ports.billing``. Pure; a wrong form is an ``IntegrityError``."""

from __future__ import annotations

from datetime import date, timedelta
from typing import TYPE_CHECKING, Final

from tapi_agent.adapters.billing import forms
from tapi_agent.adapters.billing.forms import optional, required
from tapi_agent.domain.license import LicenseMode, LicenseStatus
from tapi_agent.ports.billing import BatchRecord, BilledTotal, FeatureReply, HeartbeatReply, LicenseReply

if TYPE_CHECKING:
    from decimal import Decimal
    from uuid import UUID

    from tapi_agent.adapters.billing.forms import Document

_LONGEST_WAIT: Final = 10**9  # seconds; more does not fit a timedelta, and nobody waits that long
_SUMS: Final = ("api_calls", "llm_tokens_used", "storage_gb_days", "sms_sent", "agent_executions")
_STORED: Final = ("accepted", "duplicate")
_OUTCOMES: Final = ("accepted", "duplicate", "rejected", "retry")


def license_reply(reply: Document) -> LicenseReply:
    """POST /licenses/validate."""
    return LicenseReply(
        is_valid=required(reply, "is_valid", forms.flag),
        mode=required(reply, "license_mode", mode),
        packs=optional(reply, "enabled_growth_packs", forms.texts) or (),
        valid_until=optional(reply, "valid_until", forms.moment),
        cameras_allowed=optional(reply, "cameras_allowed", forms.count),
        status=optional(reply, "status", status),
        sequence=optional(reply, "sequence", forms.count),
        server_time=optional(reply, "server_time", forms.moment),
        lease=optional(reply, "lease", forms.lease) or "",
    )


def feature_reply(reply: Document) -> FeatureReply:
    """POST /entitlements/check."""
    return FeatureReply(
        is_enabled=required(reply, "is_enabled", forms.flag),
        quota_remaining=optional(reply, "quota_remaining", forms.remaining),
        valid_until=optional(reply, "valid_until", forms.moment),
    )


def heartbeat_reply(reply: Document) -> HeartbeatReply:
    """POST /heartbeat."""
    required(reply, "status", forms.word("ok"))
    seconds = optional(reply, "next_heartbeat_in_seconds", forms.whole)
    if seconds is None:
        return HeartbeatReply()
    return HeartbeatReply(next_heartbeat=timedelta(seconds=min(max(seconds, 0), _LONGEST_WAIT)))


def batch_record(reply: Document, batch_id: UUID) -> BatchRecord:
    """GET /usage/batches/{id}."""
    required(reply, "batch_id", forms.word(str(batch_id)))
    return BatchRecord(batch_id=batch_id, results=dict(required(reply, "results", _results)))


def usage_sums(reply: Document) -> dict[str, Decimal]:
    """GET /billing/usage/{tenant}: a service gives some of five sums."""
    sums = {key: optional(reply, key, forms.amount) for key in _SUMS}
    return {key: amount for key, amount in sums.items() if amount is not None}


def billed_totals(reply: Document) -> list[BilledTotal]:
    """GET /usage/totals."""
    return required(reply, "totals", lambda value: [_billed_total(item) for item in forms.items(value)])


def looked_up(reply: Document) -> frozenset[UUID]:
    """POST /usage/lookup: the ids that the service has; any other word than accepted is none."""
    return frozenset(required(reply, "results", lambda value: list(filter(None, map(_billed, forms.items(value))))))


def healthy(reply: Document) -> bool:
    """GET /health."""
    return reply.get("status") == "healthy"


def mode(value: object) -> LicenseMode:
    """A license mode."""
    return LicenseMode(forms.word(*LicenseMode)(value))


def status(value: object) -> LicenseStatus:
    """How a subscription stands."""
    return LicenseStatus(forms.word(*LicenseStatus)(value))


def _billed_total(value: object) -> BilledTotal:
    if not isinstance(value, dict):
        raise ValueError("a list of objects")  # noqa: TRY004 - a form complains by ValueError, see forms
    return BilledTotal(
        tenant_id=forms.text(value.get("tenant_id")),
        meter=forms.text(value.get("event_type")),
        day=date.fromisoformat(forms.text(value.get("day"))),
        events=forms.count(value.get("count")),
        quantity=forms.amount(value.get("quantity")),
    )


def _billed(value: object) -> UUID | None:
    if not isinstance(value, dict):
        raise ValueError("a list of objects")  # noqa: TRY004 - a form complains by ValueError, see forms
    return forms.uuid(value.get("event_id")) if value.get("status") in _STORED else None


def _results(value: object) -> list[tuple[UUID, str]]:
    return [_result(item) for item in forms.items(value)]


def _result(value: object) -> tuple[UUID, str]:
    if not isinstance(value, dict):
        raise ValueError("a list of objects")  # noqa: TRY004 - a form complains by ValueError, see forms
    return forms.uuid(value.get("event_id")), forms.word(*_OUTCOMES)(value.get("status"))
