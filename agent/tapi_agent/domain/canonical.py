"""The text of an event: made once when it is recorded, delivered byte for byte (ADR 0031).

Fields stand in a fixed order, those of the classic contract first, so that the classic text of an event is a prefix of
its text: both dialects are cut from the same bytes. ``seq`` is no part of it: the spool gives it later, and a repeat of
an event under another seq must still be the same text. Sealing a batch splices it in.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import UTC
from functools import lru_cache
from json.encoder import encode_basestring as quote
from typing import TYPE_CHECKING, Final, NamedTuple
from uuid import UUID

from tapi_agent.domain.ids import EventId
from tapi_agent.domain.quantity import literal

if TYPE_CHECKING:
    from datetime import datetime
    from decimal import Decimal

    from tapi_agent.domain.ids import CameraId, DeviceId, TenantId

_MARK: Final = ',"event_id":"'
"""Ends the classic part. In a JSON string its quotes would be escaped, so the last one in a text is the real one."""
_UUID_LENGTH: Final = 36
_PLAIN: Final = r'[^"\\\x00-\x1f]'
"""A character of a JSON string that stands for itself."""
_FORM: Final = re.compile(
    rf'{{"tenant_id":"({_PLAIN}+)","event_type":"({_PLAIN}+)","resource_id":"({_PLAIN}*)"'
    rf',"quantity":(-?[0-9]+(?:\.[0-9]+)?),"unit":"({_PLAIN}*)","event_time":"(\d{{4}}-\d\d-\d\d)T([0-9:.]+Z)"'
    r',"metadata":{[^\x00-\x1f]*}'
    rf',"event_id":"([0-9a-f-]{{{_UUID_LENGTH}}})","device_id":"({_PLAIN}+)","camera_id":"({_PLAIN}*)"'
    rf'(?:,"resource_type":"({_PLAIN}+)")?(?:,"corrects":"([0-9a-f-]{{{_UUID_LENGTH}}})")?(,"billable":false)?}}',
    re.ASCII,
)
"""Metadata may look like what follows it, but not up to the end of the text."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """What many events have in common, who used what: all but id, quantity, times and metadata.

    ``head``, ``middle`` and ``tail`` are its texts, around what is each event's own.
    """

    tenant_id: TenantId
    device_id: DeviceId
    camera_id: CameraId
    event_type: str
    resource_id: str
    resource_type: str
    unit: str
    billable: bool
    corrects: UUID | None
    head: str = field(init=False)
    middle: str = field(init=False)
    tail: str = field(init=False)

    def __post_init__(self) -> None:
        head = (
            f'{{"tenant_id":{quote(self.tenant_id)},"event_type":{quote(self.event_type)}'
            f',"resource_id":{quote(self.resource_id)},"quantity":'
        )
        object.__setattr__(self, "head", head)
        object.__setattr__(self, "middle", f',"unit":{quote(self.unit)},"event_time":"')
        tail = f'","device_id":{quote(self.device_id)},"camera_id":{quote(self.camera_id)}{_extras(self)}}}'
        object.__setattr__(self, "tail", tail)


class ReadBack(NamedTuple):
    """The fields of an event as they stand in its text, without metadata. ``local``: empty, or it is not billable."""

    tenant_id: str
    event_type: str
    resource_id: str
    quantity: str
    unit: str
    day: str
    time: str
    event_id: str
    device_id: str
    camera_id: str
    resource_type: str | None
    corrects: str | None
    local: str | None


def canonical_text(frame: Frame, *, event_id: EventId, quantity: Decimal, event_time: datetime, metadata: str) -> str:
    """The event as one line of JSON; ``metadata`` is JSON already."""
    return (
        f'{frame.head}{literal(quantity)}{frame.middle}{rfc3339(event_time)}","metadata":{metadata}'
        f"{_MARK}{event_id}{frame.tail}"
    )


def classic_text(canonical: str) -> str:
    """The classic fields alone. Metadata, which may hold such a mark of its own, stands before the real one."""
    return canonical[: canonical.rindex(_MARK)] + "}"


def extended_text(canonical: str, seq: int) -> str:
    """All fields, and the event's place in its stream."""
    return f'{canonical[:-1]},"seq":{seq}}}'


def event_id_of(canonical: str) -> EventId:
    """The id in a text."""
    start = canonical.rindex(_MARK) + len(_MARK)
    return EventId(UUID(canonical[start : start + _UUID_LENGTH]))


def read_back(canonical: str) -> ReadBack | None:
    """What a text of ours says; nothing if a name in it holds a quote, a backslash or a control character."""
    found = _FORM.fullmatch(canonical)
    return ReadBack._make(found.groups()) if found else None


@lru_cache(maxsize=64)
def rfc3339(at: datetime) -> str:
    """An aware time in UTC, to the microsecond where it has any: ``2026-03-01T12:00:00.5Z`` keeps six digits."""
    return at.astimezone(UTC).isoformat().removesuffix("+00:00") + "Z"


def _extras(frame: Frame) -> str:
    """What the contract does not name: there only when it says something. Receivers ignore unknown fields."""
    kind = f',"resource_type":{quote(frame.resource_type)}' if frame.resource_type else ""
    corrects = f',"corrects":"{frame.corrects}"' if frame.corrects else ""
    return kind + corrects + ("" if frame.billable else ',"billable":false')
