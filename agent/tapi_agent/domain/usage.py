"""Usage: meters, events, their states, and what they add up to."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta  # noqa: TC003 - what plugins return is validated by these annotations
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from datetime import date, datetime
    from decimal import Decimal
    from uuid import UUID

    from tapi_agent.domain.ids import CameraId, DeviceId, EventId, StreamId, TenantId


@dataclass(frozen=True, slots=True, kw_only=True)
class Meter:
    """Something counted: ``key`` is the event_type on the wire, ``unit`` its unit, ``enabled`` what its switch says.

    ``switch`` names the setting that turns it off (such as ``TRACK_API_CALLS``), for the error an application gets.
    ``every`` is how often its plugin is asked what was used (``collect_usage``); without one it is never asked.
    """

    key: str
    unit: str
    description: str = ""
    enabled: bool = True
    switch: str = ""
    every: timedelta | None = None


class EventState(StrEnum):
    """Where a recorded event is on its way to the bill."""

    PENDING = "pending"
    """In the database, in no batch."""
    SEALED = "sealed"
    """In a batch that is on its way; also while that batch is ambiguous."""
    SYNCED = "synced"
    """The service has it."""
    DEAD = "dead"
    """It will not be billed; kept whole among the dead letters."""
    LOCAL = "local"
    """Not billable: counted here, never sent."""
    DUPLICATE = "duplicate"
    """A repeat of an event that is already in the database: counted there, once."""


class Refusal(StrEnum):
    """Why ``record`` refuses an event: the code of the ``InvalidInputError``."""

    WRONG_TYPE = "WRONG_TYPE"
    UNKNOWN_FIELD = "UNKNOWN_FIELD"
    MISSING = "MISSING"
    BAD_TEXT = "BAD_TEXT"
    TOO_LONG = "TOO_LONG"
    TOO_DEEP = "TOO_DEEP"
    UNKNOWN_METER = "UNKNOWN_METER"
    METER_DISABLED = "METER_DISABLED"
    UNIT_MISMATCH = "UNIT_MISMATCH"
    NO_TENANT = "NO_TENANT"
    NOT_FINITE = "NOT_FINITE"
    NOT_EXACT = "NOT_EXACT"
    OUT_OF_RANGE = "OUT_OF_RANGE"
    NEGATIVE = "NEGATIVE"
    BAD_TIME = "BAD_TIME"
    TIME_MISSING = "TIME_MISSING"
    TOO_OLD = "TOO_OLD"
    IN_FUTURE = "IN_FUTURE"


class DeadReason(StrEnum):
    """Why an event will not be billed, where the billing service gave no code of its own."""

    IDEMPOTENCY_CONFLICT = "IDEMPOTENCY_CONFLICT"
    """Same id as an event that was kept, another body."""
    UNSTORABLE = "UNSTORABLE"
    """The database refuses the row."""
    REFUSED = "REFUSED"
    """The service refuses this one event, and takes others of the same batch."""
    REJECTED = "REJECTED"
    """The service answered ``rejected`` for it, without a code."""
    TOO_LARGE = "TOO_LARGE"
    """The service refuses even this one event as too large (413)."""


class UsageEvent(NamedTuple):
    """One recorded event, immutable from the moment it has an id. Always made by name; a tuple is made the fastest.

    ``quantity`` is exact (|q| < 10^18, at most 9 decimals); ``canonical`` is the event's JSON as it will be delivered,
    made once; ``recorded_at`` is the time in ``event_id``; ``corrects`` the event whose quantity this one takes back.
    """

    event_id: EventId
    tenant_id: TenantId
    device_id: DeviceId
    camera_id: CameraId
    event_type: str
    resource_id: str
    resource_type: str
    quantity: Decimal
    unit: str
    billable: bool
    event_time: datetime
    recorded_at: datetime
    corrects: UUID | None
    canonical: str


class SpooledEvent(NamedTuple):
    """An event's canonical text with its place in the spool: ``seq`` counts within ``stream``."""

    stream: StreamId
    seq: int
    canonical: str


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageTotal:
    """How much of a meter a tenant used on a UTC day of event_time; ``local_…`` is the part that is not billable."""

    tenant_id: TenantId
    meter: str
    unit: str
    day: date
    events: int
    quantity: Decimal
    local_events: int
    local_quantity: Decimal
