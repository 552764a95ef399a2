"""What is sent: an edge as JSON, and its signature (Standard Webhooks). Pure: the instant of sending is an input."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tapi_agent.plugin import LicenseChanged


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One edge for one receiver. Messages on the same ``subject`` keep their order; ``at`` is when it happened."""

    message_id: str
    subject: str
    at: datetime
    body: str


def message(change: LicenseChanged) -> Message:
    """The edge under its own id, so that a receiver can drop repeats."""
    subject, at = change.subject, change.at.astimezone(UTC)
    data = {
        "device_id": subject.device_id,
        "tenant_id": subject.tenant_id,
        "camera_id": subject.camera_id,
        "old": change.old,
        "new": change.new,
        "reason": change.reason,
    }
    document = {"type": "license.changed", "timestamp": at.isoformat().removesuffix("+00:00") + "Z", "data": data}
    return Message(
        message_id=str(change.edge_id),
        subject=json.dumps([subject.tenant_id, subject.camera_id]),
        at=at,
        body=json.dumps(document, ensure_ascii=False),
    )


def signed(sent: Message, *, key: bytes, timestamp: int) -> dict[str, str]:
    """The headers of one try: id, unix seconds and ``v1,`` with the HMAC-SHA256 of both and the body."""
    content = f"{sent.message_id}.{timestamp}.{sent.body}".encode()
    signature = base64.b64encode(hmac.new(key, content, hashlib.sha256).digest()).decode()
    return {
        "webhook-id": sent.message_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": f"v1,{signature}",
    }
