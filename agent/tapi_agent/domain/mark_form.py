"""The mark of trusted time as text: one form wherever it is kept. Called by the stores, which seal it. Pure."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import Final

from tapi_agent.domain.errors import IntegrityError
from tapi_agent.domain.trusted_time import Mark

PURPOSE: Final = "mark/1"
"""What it is sealed for: the seal of anything else is worth nothing here."""
_MICROSECOND: Final = timedelta(microseconds=1)


def format_mark(mark: Mark) -> str:
    """The mark as canonical JSON."""
    fields = {
        "at": mark.at.isoformat(),
        "boot_id": mark.boot_id,
        "boottime_us": mark.boottime // _MICROSECOND,
        "raised_us": mark.raised // _MICROSECOND,
        "confirmed_in": mark.confirmed_in,
        "settled_in": mark.settled_in,
        "resets": mark.resets,
    }
    return json.dumps(fields, sort_keys=True, separators=(",", ":"))


def parse_mark(payload: str) -> Mark:
    """The mark; raises ``IntegrityError`` for a form of another version. The first release counted no resets."""
    try:
        fields = json.loads(payload)
        return Mark(
            at=datetime.fromisoformat(fields["at"]),
            boot_id=fields["boot_id"],
            boottime=fields["boottime_us"] * _MICROSECOND,
            raised=fields["raised_us"] * _MICROSECOND,
            confirmed_in=fields["confirmed_in"],
            settled_in=fields["settled_in"],
            resets=fields.get("resets", 0),
        )
    except (ValueError, KeyError, TypeError) as error:
        raise IntegrityError(f"a mark of an unknown form: {error!r}", fix="was the agent downgraded?") from error
