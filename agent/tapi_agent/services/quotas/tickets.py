"""Reservation ids: each says itself what it stands for, sealed with the device key.

So a reservation can be committed after a restart and long after its ttl, without a list that would have to survive; and
nobody can make up an id that would be recorded as usage of another tenant or another time.
"""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Final
from uuid import UUID

import orjson

from tapi_agent.domain.errors import IntegrityError, InvalidInputError
from tapi_agent.domain.ids import CameraId, EventId, TenantId

if TYPE_CHECKING:
    from tapi_agent.ports.seal import Seal

_PURPOSE: Final = "reservation/1"
_LONGEST: Final = 8192


@dataclass(frozen=True, slots=True, kw_only=True)
class Use:
    """A use that is still to come; ``key`` is the dedupe key of its event."""

    tenant_id: TenantId
    meter: str
    camera_id: CameraId
    reserved_at: datetime
    key: str

    def draft(self, quantity: object) -> dict[str, object]:
        """Its event: of the same id however often, and with whatever quantity, it is recorded."""
        return {
            "tenant_id": self.tenant_id,
            "camera_id": self.camera_id,
            "event_type": self.meter,
            "event_time": self.reserved_at,
            "dedupe_key": self.key,
            "quantity": quantity,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Ticket:
    """What a reservation stands for: a use, and the id that its event will have."""

    use: Use
    event_id: EventId


class Tickets:
    """Writes tickets as reservation ids, and reads those that this device has written."""

    def __init__(self, seal: Seal) -> None:
        self._seal = seal

    def write(self, ticket: Ticket) -> str:
        """The reservation id, in letters that may stand in a path."""
        sealed = self._seal.seal(orjson.dumps(ticket).decode(), purpose=_PURPOSE)
        return urlsafe_b64encode(sealed.encode()).decode().rstrip("=")

    def read(self, reservation_id: str) -> Ticket:
        """What it stands for; ``InvalidInputError`` (``reservation_unknown``) when it is not one of ours."""
        try:
            return _ticket(self._seal.unseal(_text(reservation_id), purpose=_PURPOSE))
        except (IntegrityError, ValueError) as error:
            raise InvalidInputError(
                "no agent of this device has given this reservation_id",
                code="reservation_unknown",
                pointer="#/reservation_id",
                fix="send the reservation_id exactly as reserve returned it, to the agent that did",
            ) from error


def _text(reservation_id: str) -> str:
    if len(reservation_id) > _LONGEST:
        raise ValueError(f"longer than {_LONGEST} characters")
    return urlsafe_b64decode(reservation_id + "=" * (-len(reservation_id) % 4)).decode()


def _ticket(payload: str) -> Ticket:
    fields = orjson.loads(payload)
    use = fields["use"]
    return Ticket(
        use=Use(
            tenant_id=TenantId(use["tenant_id"]),
            meter=use["meter"],
            camera_id=CameraId(use["camera_id"]),
            reserved_at=datetime.fromisoformat(use["reserved_at"]),
            key=use["key"],
        ),
        event_id=EventId(UUID(fields["event_id"])),
    )
