"""From what an application says to an event: every field checked, every fault named with its place and its remedy.

Pure: time and randomness come in with ``Moment``. Called by ``services.metering`` alone; whatever passes here
must be storable by PostgreSQL and acceptable to the billing service, because from here on nothing may be refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import lru_cache
from typing import TYPE_CHECKING, Final
from uuid import UUID

from tapi_agent.domain.canonical import Frame, canonical_text
from tapi_agent.domain.errors import InvalidInputError
from tapi_agent.domain.event_time import Moment, read_event_time
from tapi_agent.domain.ids import CameraId, EventId, TenantId, keyed_id, random_id, time_of
from tapi_agent.domain.metadata import encode_metadata, flaw_of
from tapi_agent.domain.quantity import read_quantity
from tapi_agent.domain.usage import Meter, Refusal, UsageEvent

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime
    from decimal import Decimal

    from tapi_agent.domain.ids import DeviceId

FIELDS: Final = (
    "tenant_id",
    "camera_id",
    "event_type",
    "resource_id",
    "resource_type",
    "quantity",
    "unit",
    "billable",
    "metadata",
    "event_time",
    "dedupe_key",
    "corrects",
)
_KNOWN: Final = frozenset(FIELDS)
_COMMON: Final = (
    "tenant_id",
    "camera_id",
    "event_type",
    "resource_id",
    "resource_type",
    "unit",
    "billable",
    "corrects",
)
"""What a ``Frame`` is made of."""
_OBJECTS: Final = (dict, Mapping)
"""A dict first: to be told what else is a mapping takes longer than the rest."""
_LONGEST_ID: Final = 256


@dataclass(frozen=True, kw_only=True, eq=False)
class Intake:
    """What this agent accepts: its meters by key, and what stands in for a field left out. One is like no other."""

    meters: Mapping[str, Meter]
    device_id: DeviceId
    default_tenant: TenantId | None


def read_draft(draft: object, intake: Intake, moment: Moment) -> UsageEvent:
    """The event a draft describes. Raises ``InvalidInputError`` for a fault, with its JSON pointer."""
    fields = _fields(draft)
    frame = _frame_of(fields, intake)
    event_time = read_event_time(fields["event_time"], moment) if "event_time" in fields else moment.now
    event_id = _event_id(fields, moment, event_time, frame)
    quantity = _quantity(fields, frame.corrects)
    metadata = encode_metadata(fields["metadata"]) if "metadata" in fields else "{}"
    return UsageEvent(
        event_id=event_id,
        tenant_id=frame.tenant_id,
        device_id=frame.device_id,
        camera_id=frame.camera_id,
        event_type=frame.event_type,
        resource_id=frame.resource_id,
        resource_type=frame.resource_type,
        quantity=quantity,
        unit=frame.unit,
        billable=frame.billable,
        event_time=event_time,
        recorded_at=time_of(event_id),
        corrects=frame.corrects,
        canonical=canonical_text(frame, event_id=event_id, quantity=quantity, event_time=event_time, metadata=metadata),
    )


def _frame_of(fields: Mapping[str, object], intake: Intake) -> Frame:
    values = [fields.get(name) for name in _COMMON]
    try:
        return _frame(intake, *values)
    except TypeError:  # a value of a wrong type, such as a list, is no key
        return _frame.__wrapped__(intake, *values)


@lru_cache(maxsize=1024, typed=True)
def _frame(intake: Intake, *values: object) -> Frame:
    """An application uses few things, over and over: that they are fit is found out once."""
    fields = {name: value for name, value in zip(_COMMON, values, strict=True) if value is not None}
    meter = _meter(fields, intake.meters)
    camera_id = CameraId(_text(fields, "camera_id"))
    return Frame(
        tenant_id=_tenant(fields, intake.default_tenant),
        device_id=intake.device_id,
        camera_id=camera_id,
        event_type=meter.key,
        resource_id=_text(fields, "resource_id") or camera_id or intake.device_id,
        resource_type=_text(fields, "resource_type"),
        unit=_unit(fields, meter),
        billable=_flag(fields, "billable"),
        corrects=_corrects(fields),
    )


def _fields(draft: object) -> dict[str, object]:
    """The draft's fields without those that are null, which say nothing."""
    if not isinstance(draft, _OBJECTS):
        raise _invalid("", f"an event must be a JSON object, not {type(draft).__name__}", Refusal.WRONG_TYPE)
    if not draft.keys() <= _KNOWN:
        name = next(name for name in draft if name not in _KNOWN)
        shown = ascii(name)[:60]
        raise _invalid(shown.strip("'"), f"{shown} is no field of an event", Refusal.UNKNOWN_FIELD, _near(name, FIELDS))
    return {name: value for name, value in draft.items() if value is not None}


def _meter(fields: Mapping[str, object], meters: Mapping[str, Meter]) -> Meter:
    _required(fields, "event_type")
    key = _text(fields, "event_type")
    meter = meters.get(key)
    if meter is None:
        raise _invalid("event_type", f"no meter {ascii(key)[:60]}", Refusal.UNKNOWN_METER, _near(key, meters))
    if not meter.enabled:
        switch = meter.switch or "its switch"
        raise _invalid(
            "event_type", f"meter {key} is off: {switch} is false", Refusal.METER_DISABLED, f"set {switch}=true"
        )
    return meter


def _tenant(fields: Mapping[str, object], default: TenantId | None) -> TenantId:
    tenant = _text(fields, "tenant_id") or default
    if not tenant:
        raise _invalid(
            "tenant_id", "the event has no tenant", Refusal.NO_TENANT, "send tenant_id, or set TENANT_ID on the agent"
        )
    return TenantId(tenant)


def _unit(fields: Mapping[str, object], meter: Meter) -> str:
    unit = fields.get("unit", meter.unit)
    if unit != meter.unit:
        raise _invalid(
            "unit",
            f"meter {meter.key} counts {meter.unit}, not {ascii(unit)[:40]}",
            Refusal.UNIT_MISMATCH,
            f"convert the quantity to {meter.unit}, or leave unit out",
        )
    return meter.unit


def _event_id(fields: Mapping[str, object], moment: Moment, event_time: datetime, frame: Frame) -> EventId:
    key = _text(fields, "dedupe_key")
    if not key:
        return EventId(random_id(moment.now, moment.entropy))
    if "event_time" not in fields:
        raise _invalid(
            "event_time",
            "a dedupe_key needs an event_time: the same event must get the same id when it is sent again",
            Refusal.TIME_MISSING,
            "fix key and event_time before the first try and reuse both",
        )
    return EventId(keyed_id(event_time, (frame.tenant_id, frame.device_id, frame.event_type, key)))


def _corrects(fields: Mapping[str, object]) -> UUID | None:
    text = _text(fields, "corrects")
    try:
        return UUID(text) if text else None
    except ValueError as error:
        raise _invalid("corrects", f"{ascii(text)[:60]} is no event id", Refusal.WRONG_TYPE) from error


def _quantity(fields: Mapping[str, object], corrects: UUID | None) -> Decimal:
    quantity = read_quantity(_required(fields, "quantity"))
    if quantity < 0 and corrects is None:
        raise _invalid(
            "quantity",
            "a negative quantity is a correction and must say which event it corrects",
            Refusal.NEGATIVE,
            "add corrects with the event_id of the event to be taken back",
        )
    return quantity


def _required(fields: Mapping[str, object], name: str) -> object:
    if name not in fields:
        raise _invalid(name, f"{name} is missing", Refusal.MISSING, f"send {name}")
    return fields[name]


def _flag(fields: Mapping[str, object], name: str) -> bool:
    value = fields.get(name, True)
    if not isinstance(value, bool):
        raise _invalid(name, f"{name} must be true or false", Refusal.WRONG_TYPE)
    return value


def _text(fields: Mapping[str, object], name: str) -> str:
    """An identifier or name; empty when it is left out."""
    value = fields.get(name)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise _invalid(name, f"{name} must be text, not {type(value).__name__}", Refusal.WRONG_TYPE)
    if len(value) > _LONGEST_ID:
        raise _invalid(name, f"{name} is longer than {_LONGEST_ID} characters", Refusal.TOO_LONG)
    if flaw := flaw_of(value):
        raise _invalid(name, f"{name} holds {flaw}", Refusal.BAD_TEXT)
    return value


def _near(name: object, known: Iterable[str]) -> str:
    """The remedy for a name nobody knows: the one that was probably meant, and all there are."""
    names = sorted(known)
    close = get_close_matches(str(name)[:_LONGEST_ID], names, n=1)
    return (f"did you mean {close[0]}? " if close else "") + f"known: {', '.join(names) or 'none'}"


def _invalid(field: str, message: str, code: Refusal, fix: str = "") -> InvalidInputError:
    return InvalidInputError(message, code=code, pointer=f"#/{field}" if field else "#", fix=fix)
