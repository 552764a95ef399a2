"""Identifiers: their types and how event ids are made. Owns the layout of the id; randomness and time are inputs."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, NewType
from uuid import UUID

if TYPE_CHECKING:
    from collections.abc import Iterable

TenantId = NewType("TenantId", str)
DeviceId = NewType("DeviceId", str)
CameraId = NewType("CameraId", str)
EventId = NewType("EventId", UUID)
BatchId = NewType("BatchId", UUID)
StreamId = NewType("StreamId", UUID)

TENANT = CameraId("")
"""Stands for the tenant itself where a camera is meant."""
STRANGER = CameraId("*")
"""Stands for any camera that is not registered; no camera may be called so."""

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)
_RANDOM_BITS = 74
_VERSION_RANDOM, _VERSION_KEYED = 7, 8
_VARIANT = 0b10 << 62


@lru_cache(maxsize=64)
def milliseconds(at: datetime) -> int:
    """Whole milliseconds since 1970 of an aware time."""
    return (at - EPOCH) // _MILLISECOND


def _layout(ms: int, version: int, rest: int) -> UUID:
    """48 bits of milliseconds, version, variant and 74 bits of ``rest`` (RFC 9562)."""
    high, low = rest >> 62 & 0xFFF, rest & (1 << 62) - 1
    return UUID(int=ms << 80 | version << 76 | high << 64 | _VARIANT | low)


def random_id(at: datetime, entropy: bytes) -> UUID:
    """UUID version 7: unique by ``entropy`` (10 bytes or more), ordered by ``at``."""
    return _layout(milliseconds(at), _VERSION_RANDOM, int.from_bytes(entropy[:10], "big") & (1 << _RANDOM_BITS) - 1)


def keyed_id(at: datetime, parts: Iterable[str]) -> UUID:
    """UUID version 8: the same ``at`` and ``parts`` give the same id. Length prefixes keep parts apart."""
    digest = hashlib.sha256()
    for part in parts:
        encoded = part.encode()
        digest.update(len(encoded).to_bytes(8, "big") + encoded)
    return _layout(
        milliseconds(at), _VERSION_KEYED, int.from_bytes(digest.digest()[:10], "big") & (1 << _RANDOM_BITS) - 1
    )


def time_of(event_id: UUID) -> datetime:
    """The time in an id, at millisecond precision: an event's ``recorded_at``."""
    return _at(event_id.int >> 80)


@lru_cache(maxsize=64)
def _at(ms: int) -> datetime:
    return EPOCH + ms * _MILLISECOND


def trusted_ms(event_id: UUID) -> int:
    """Milliseconds of trusted time in an id; 0 when the time in it came from its sender (version 8)."""
    return event_id.int >> 80 if event_id.int >> 76 & 0xF == _VERSION_RANDOM else 0
