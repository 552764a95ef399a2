"""tapi-agent simulate: the states ahead if the link to the billing service were lost now."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Final

import typer

from tapi_agent.cli.common import JsonOption, SocketOption, agent
from tapi_agent.cli.output import console, safe, show_json
from tapi_agent.cli.spans import show_spans
from tapi_agent.cli.text import moment

_SPAN: Final = re.compile(r"(\d{1,6})([dhms])", re.ASCII)
_UNITS: Final = {"d": "days", "h": "hours", "m": "minutes", "s": "seconds"}
_SHOWN: Final = 5


def span(text: str) -> timedelta:
    """A duration as people write it: ``45d``, ``36h``, ``90m``, ``30s``."""
    found = _SPAN.fullmatch(text)
    if found is None or not int(found[1]):
        raise typer.BadParameter("a number with d, h, m or s, such as 45d, 36h or 90m")
    return timedelta(**{_UNITS[found[2]]: int(found[1])})


def date(text: str) -> datetime:
    """A date or an instant of RFC 3339; without a zone it is UTC."""
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter("a date such as 2027-03-01 or 2027-03-01T12:00:00Z") from None
    return at if at.tzinfo else at.replace(tzinfo=UTC)


def simulate(
    offline: Annotated[
        timedelta | None, typer.Option("--offline", parser=span, metavar="45d|36h|90m", help="Without contact so long.")
    ] = None,
    at: Annotated[
        datetime | None,
        typer.Option("--at", parser=date, metavar="DATE", help="Or until then; UTC where no zone is named."),
    ] = None,
    camera: Annotated[str | None, typer.Option("--camera", help="Default: all cameras.", show_default=False)] = None,
    socket: SocketOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show which states would come if the billing service were out of reach from now on."""
    if (offline is None) == (at is None):
        raise typer.BadParameter("give either --offline or --at")
    with agent(socket) as client:
        document = client.simulate(camera, offline_s=offline.total_seconds() if offline else None, at=at)
    if as_json:
        show_json(document)
        return
    for outlook in document["outlooks"]:
        _show(outlook, document["until"])


def _show(outlook: dict[str, Any], until: str) -> None:
    names = [safe(name) or "the tenant" for name in outlook["cameras"]]
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    console.print(f"[bold]{', '.join(names[:_SHOWN])}{more}[/], without contact until {moment(until)}:")
    show_spans(outlook["spans"], until)
