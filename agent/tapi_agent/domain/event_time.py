"""When something was used: reading event_time, and the span of time in which this agent accepts events."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple

from tapi_agent.domain.errors import InvalidInputError
from tapi_agent.domain.usage import Refusal

AHEAD: Final = timedelta(days=1)
"""How far event_time may be ahead of trusted time: a box whose clock is off by its time zone still meters."""
_RFC3339: Final = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)?", re.ASCII)


class Moment(NamedTuple):
    """When a draft is read.

    ``now`` is trusted time, never below that of the previous id; ``latest`` the latest instant it may be; ``floor`` the
    oldest that is still kept; ``entropy`` ten random bytes.
    """

    now: datetime
    latest: datetime
    floor: datetime
    entropy: bytes


def read_event_time(value: object, moment: Moment) -> datetime:
    """A time in UTC from an aware ``datetime`` or RFC 3339 text, within what is kept; ``InvalidInputError`` if not."""
    event_time = _instant(value)
    if event_time < moment.floor:
        raise _invalid(
            f"{event_time.isoformat()} is before {moment.floor.isoformat()}, the oldest time this agent keeps",
            Refusal.TOO_OLD,
            "check the sender's clock",
        )
    latest = max(moment.now, moment.latest)
    if event_time > latest + AHEAD:
        raise _invalid(
            f"{event_time.isoformat()} is more than a day ahead of {latest.isoformat()}",
            Refusal.IN_FUTURE,
            "check the sender's clock, or the agent's (tapi-agent status)",
        )
    return event_time


def _instant(value: object) -> datetime:
    """Nanoseconds are cut to microseconds."""
    try:
        at = datetime.fromisoformat(value.upper()) if isinstance(value, str) and _RFC3339.fullmatch(value) else value
        if isinstance(at, datetime) and at.tzinfo is not None:
            return at.astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise _bad_time(value, f"is no time: {error}") from error
    raise _bad_time(value, "has no zone" if isinstance(at, datetime) else "is no RFC 3339 time")


def _bad_time(value: object, lack: str) -> InvalidInputError:
    fix = "write it like 2026-03-01T12:00:00Z or with an offset such as +10:00"
    return _invalid(f"{ascii(value)[:60]} {lack}", Refusal.BAD_TIME, fix)


def _invalid(message: str, code: Refusal, fix: str) -> InvalidInputError:
    return InvalidInputError(message, code=code, pointer="#/event_time", fix=fix)
