"""tapi-agent quota: what is left of every quota, and until when."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any, Final

from tapi_agent.cli.common import JsonOption, SocketOption, agent
from tapi_agent.cli.output import console, safe, show_json, table, warn

_COLUMNS: Final = ("METER", "PERIOD", "LIMIT", "USED", "RESERVED", "LEFT", "RESETS")
_UNLIMITED: Final = "-1"


def quota(socket: SocketOption = None, as_json: JsonOption = False) -> None:
    """Show what is used, reserved and left of every quota."""
    with agent(socket) as client:
        document = client.quota()
    show_json(document) if as_json else show(document)


def show(document: dict[str, Any]) -> None:
    """Print a reply of ``GET /api/v1/quota``."""
    quotas = document["quotas"]
    if not quotas:
        console.print("no meter has a quota")
        return
    console.print(table(_COLUMNS, map(_row, quotas)))
    for one in quotas:
        if Decimal(one["overage"]) > 0:
            warn(safe(f"{one['meter']}: {one['overage']} {one['unit']} beyond the limit are billed as overage"))
    if not document["complete"]:
        warn("PostgreSQL is down: what other devices have used or reserved since it last answered is missing here")


def _row(one: dict[str, Any]) -> tuple[str, ...]:
    unlimited = one["limit"] == _UNLIMITED
    limit = "unlimited" if unlimited else f"{one['limit']} {'soft' if one['soft'] else 'hard'}"
    left = "unlimited" if unlimited else one["remaining"]
    resets = f"{datetime.fromisoformat(one['resets_at']):%Y-%m-%d}"
    return tuple(map(safe, (one["meter"], one["period"], limit, one["used"], one["reserved"], left, resets)))
